"""Mien: one command line over ingest, worker and query, and the all-in-one that runs them in one process."""

import os

__version__ = "0.1.0"

# ONNX Runtime's wheels from 1.29 on report sessions to Microsoft unless this stands before their import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
