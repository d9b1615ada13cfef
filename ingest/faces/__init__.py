"""A frame becomes faces: detect, track, align, judge."""
