"""The four nets, exactly as published."""
