"""New readings as they come, to any number of readers."""
