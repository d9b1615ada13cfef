"""Faces made from photographs: a mesh is fitted, moved by known units, and drawn again."""
