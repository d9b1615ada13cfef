"""Measurements of this machine: speed, memory, recall, tracking. `make bench` prints them all."""
