"""Frames → faces → crops → bus."""
