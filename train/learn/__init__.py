"""Weights learn from a prepared set."""
