"""Data → weights → engines."""

import contract  # noqa: F401 - before ONNX Runtime: it silences its telemetry
