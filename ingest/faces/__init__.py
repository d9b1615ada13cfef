"""A frame becomes faces: detect, track, align, judge."""

import contract  # noqa: F401 - before ONNX Runtime: it silences its telemetry
