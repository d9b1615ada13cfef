"""The rows, one function each, by the part that fails."""
