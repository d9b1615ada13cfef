"""What the processes of Mien promise each other: labels, values, layouts, errors. No process imports another."""

import os

# ONNX Runtime's wheels from 1.29 on report their sessions to Microsoft unless this stands before their import;
# every package that runs nets imports this one first. Nothing that Mien looks at leaves the machine.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
