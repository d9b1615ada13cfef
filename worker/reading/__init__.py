"""Faces in, entries out: crops, nets, what cannot be read."""
