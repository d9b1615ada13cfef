"""Data → weights → engines."""
