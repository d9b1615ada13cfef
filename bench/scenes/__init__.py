"""Scenes of people who cross, hide one another, leave and return, with exact truth; made for `bench.crossings`."""
