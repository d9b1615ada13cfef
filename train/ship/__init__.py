"""Weights become files that run."""
