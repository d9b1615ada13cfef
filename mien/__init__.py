"""Mien: one command line over ingest, worker and query, and the all-in-one that runs them in one process."""

__version__ = "0.1.0"
