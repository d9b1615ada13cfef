"""Odds that two sightings show one person and not two, as natural logarithms.

The odds of place, size and colours are independent measurements and are added. The coefficients of the colours are a
logistic regression on pairs of sightings more than a second apart in made scenes of the choosing half of the people
(`bench.crossings`); they part 93 % of the pairs, and 97 % of those that are clear. A face moves as before, up to an
error that grows with the time it was not seen; or it went away and may turn up anywhere.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ingest.faces.appearance import Look

Floats = NDArray[np.float32]

STEEPNESS = np.array([8.0, 12.0, 9.0], np.float32)  # per unit of distance of face, hair, clothes
EVEN = np.array([0.5, 0.65, 0.5], np.float32)  # distance at which a part speaks for neither
COLOURS_AT_MOST = 7.0  # whatever the colours: one pair in a thousand is under a passing shadow, or twins
ACROSS = 0.35  # mean distance of colours at which a face behind a cut may be another one
CROWD = 0.025  # less of it for each e-fold of people it may be: 5 % of those are taken for another, dressed alike
UNSEEN = 0.06  # and less for each part that one of the two does not show
STRICT = 40.0  # per unit of that distance
JITTER = 0.2  # face heights: error of a place at once
UNSTEADY = 1.2  # face heights per second: how much people change their speed
WALKING = 2.5  # face heights per second: their speed while it is not known
DRIFT = 0.2  # face heights per second: how fast flow slips off a face, as when it is hidden
LEVELS = 6.0  # face heights: how much the heights of people's faces differ
WANDERING_S = 4.0  # mean time until somebody out of sight is no longer near the expected place
SIZE_JITTER, SIZE_DRIFT = 0.12, 0.25  # of the logarithm of the size, at once and per second
SIZE_RANGE = 1.5  # of the logarithm of the sizes of different people's faces in a picture


@dataclass(frozen=True, slots=True)
class Expected:
    """Where and how large a face is expected."""

    centre: Floats  # (2,) px
    size: float  # px, root of the area of the box
    unseen_s: float  # since the last detection
    speed_known: bool
    followed: bool  # by flow until now


def colour_odds(one: Look, other: Look) -> float:
    """Return the evidence of the colours that both show, between -COLOURS_AT_MOST and COLOURS_AT_MOST."""
    shown = np.sqrt(one.seen * other.seen)
    odds = float((shown * STEEPNESS * (EVEN - one.distances(other))).sum())
    return COLOURS_AT_MOST * math.tanh(odds / COLOURS_AT_MOST)


def cut_odds(one: Look, other: Look, people: int) -> float:
    """Return the evidence of the colours across a cut, where places mean nothing and a person is lit as before.

    Sightings of one person are then much more alike (mean distance 0.13, 95 % below 0.21) than of two dressed alike
    under the same light (5 % below 0.35, 0.1 % below 0.26), in portraits of 40 people in white shirts.

    Args:
        one: the look of a person.
        other: the look of a face.
        people: how many people the face may be.
    """
    shown = np.sqrt(one.seen * other.seen)
    total = float(shown.sum())
    if total < 0.5:
        return 0.0
    distance = float((shown * one.distances(other)).sum()) / total
    return STRICT * (ACROSS - CROWD * math.log(max(people, 1)) - UNSEEN * max(len(shown) - total, 0.0) - distance)


def place_odds(expected: Expected, centre: Floats, size: float, frame_width: float) -> float:
    """Return the evidence of place and size of a face in a frame of this width (px).

    Another person is anywhere along the frame, within `LEVELS` face heights of the same level.
    """
    scale = 0.5 * (expected.size + size)
    away = expected.unseen_s
    speed = DRIFT if expected.followed else UNSTEADY if expected.speed_known else WALKING
    error = JITTER + speed * min(away, WANDERING_S)
    distance = float(np.linalg.norm(centre - expected.centre)) / scale
    area = max(LEVELS * frame_width / scale, 4.0)
    anywhere = 1.0 - math.exp(-away / WANDERING_S)
    near = area / (2 * math.pi * error**2) * math.exp(-0.5 * min(distance / error, 12.0) ** 2)
    spread = SIZE_JITTER + SIZE_DRIFT * min(away, WANDERING_S)
    grown = math.log(max(size, 1.0) / max(expected.size, 1.0)) / spread
    alike = SIZE_RANGE / (spread * math.sqrt(2 * math.pi)) * math.exp(-0.5 * min(abs(grown), 12.0) ** 2)
    return math.log((1.0 - anywhere) * near * alike + anywhere * max(min(alike, 1.0), 0.05) + 1e-6)
