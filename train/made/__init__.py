"""How the shipped nets were made."""
