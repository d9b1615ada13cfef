"""A frame becomes faces: detect, track, align, judge."""

import contract  # noqa: F401 - before ONNX Runtime: it silences its telemetry

RULES = 2
"""Version of what is found in the same frames by the same detector: thresholds, sizes, tracks, people, crops, quality.

Raise it with any change to these: what is stored under another number is not taken for the same work.
"""
