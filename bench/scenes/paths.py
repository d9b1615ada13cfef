"""Ways that people walk through a picture: where the middle of each face is, and how large."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

OUTSIDE = 1.6  # face heights beyond the edge at which nobody sees anything of a person


@dataclass(frozen=True, slots=True)
class Path:
    """Waypoints of one person; between them he moves smoothly, and he bobs while he walks."""

    times_s: Floats  # (n,), rising
    places_xy: Floats  # (n, 2) px, middle of the face
    sizes: Floats  # (n,) px, height of the face
    sway: tuple[float, float]  # degrees, Hz: of the head

    def at(self, time_s: float) -> tuple[Floats, float, float]:
        """Place (2,), height of the face and roll in degrees at a time."""
        i = int(np.clip(np.searchsorted(self.times_s, time_s) - 1, 0, len(self.times_s) - 2))
        share = float(np.clip((time_s - self.times_s[i]) / (self.times_s[i + 1] - self.times_s[i]), 0.0, 1.0))
        share = 0.6 * share + 0.4 * share * share * (3 - 2 * share)
        place = self.places_xy[i] + share * (self.places_xy[i + 1] - self.places_xy[i])
        size = float(self.sizes[i] * (self.sizes[i + 1] / self.sizes[i]) ** share)
        pace = float(np.linalg.norm(self.places_xy[i + 1] - self.places_xy[i])) / (
            self.times_s[i + 1] - self.times_s[i]
        )
        bob = 0.03 * size * min(pace / size, 1.0) * np.sin(2 * np.pi * 1.9 * time_s + self.sway[1])
        roll = self.sway[0] * np.sin(2 * np.pi * self.sway[1] * time_s + self.sway[0])
        return place + np.array([0.0, bob]), size, float(roll)


def walk(random: np.random.Generator, size_wh: tuple[int, int], seconds: float, size: float, seed: int) -> Path:
    """One of five ways: across and back, to a place and away, standing, changing places, coming nearer."""
    width, height = size_wh
    level = float(random.uniform(0.28, 0.5)) * height
    edge = OUTSIDE * size
    speed = float(random.uniform(0.8, 3.0)) * size  # px/s
    stops: list[tuple[float, float, float]] = []  # seconds here, x, size
    kind = ("across", "visit", "stand", "change", "nearer")[seed % 5]
    left, right = -edge, width + edge
    start, end = (left, right) if random.random() < 0.5 else (right, left)
    inside = [float(each) for each in random.uniform(0.1, 0.9, 6) * width]
    if kind == "across":
        stops = [(0, start, size), (random.uniform(0.5, 2.5), end, size), (0, start, size), (0, end, size)]
    elif kind == "visit":
        away = random.uniform(1.0, 4.0)
        stops = [(0, start, size), (2.0, inside[0], size), (away, start, size), (2.0, inside[1], size), (0, end, size)]
    elif kind == "stand":
        stops = [(3.0, inside[0] + 0.3 * size * (k % 2), size) for k in range(12)]
    elif kind == "change":
        stops = [(random.uniform(0.2, 1.5), each, size) for each in inside]
    else:
        grown = min(size * float(random.uniform(1.2, 1.7)), 0.4 * height)
        stops = [(0.5, inside[0], size), (1.0, inside[1], grown), (0.5, inside[2], size), (1.0, end, size)]
    return _path(random, stops, level, speed, seconds)


def _path(
    random: np.random.Generator, stops: list[tuple[float, float, float]], level: float, speed: float, seconds: float
) -> Path:
    """The waypoints of stops (seconds of rest, x, size), begun anew until the time is filled."""
    times, places, sizes = [-float(random.uniform(0, 2))], [(stops[0][1], level)], [stops[0][2]]
    number = 0
    while times[-1] < seconds:
        rest, x, size = stops[number % len(stops)]
        number += 1
        y = level - 0.25 * (size - stops[0][2]) + float(random.normal(0, 0.05)) * size
        times.append(times[-1] + max(abs(x - places[-1][0]) / speed, 0.2))
        times.append(times[-1] + max(float(rest), 0.05))
        places += [(x, y), (x, y)]
        sizes += [size, size]
    sway = (float(random.uniform(1, 9)), float(random.uniform(0.1, 0.5)))
    return Path(np.array(times), np.array(places), np.array(sizes), sway)
