"""The topic of faces as a worker reads it."""
