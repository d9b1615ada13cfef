"""Parts of the four nets, one idea per file."""
