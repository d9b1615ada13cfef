"""A person's own neutral face: the values that their face has at rest, to be taken off what it shows.

A net reads every face a little differently: for some people a resting mouth is 0.3 of sadness. Differences to one's
own baseline compare within a person, and between people as far as their baselines were neutral.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.errors import BadRequest
from contract.labels import ACTION_UNITS, EXPRESSIONS

FEWEST = 8  # readings from which a baseline may be found
CALM_SHARE = 0.25  # of the readings, those of least expression
HELD, RESTING = 0.6, 0.2  # an expression held above the first while neutral stays below the second
NEUTRAL = EXPRESSIONS[0]


@dataclass(frozen=True, slots=True)
class Baseline:
    """Values at rest by channel, and where they come from: `how` is found, stretch or person."""

    values: Mapping[str, float]
    how: str
    readings: int


def mean_baseline(columns: Mapping[str, NDArray[np.floating]], how: str) -> Baseline:
    """Return the mean of all readings, columns (n,), of a stretch that somebody named.

    Raises:
        BadRequest: there is no reading.
    """
    readings = max((int(np.isfinite(values).sum()) for values in columns.values()), default=0)
    if readings == 0:
        raise BadRequest("baseline: no reading in the stretch that was named; wanted one in which the face is seen")
    return Baseline({name: _mean(values) for name, values in columns.items()}, how, readings)


def found_baseline(columns: Mapping[str, NDArray[np.floating]]) -> Baseline:
    """Return the median of the calmest quarter of readings, columns (n,) of 0..1.

    A reading is calm where its `neutral` is high and its action units are low. The median is robust against blinks and
    single misreadings.

    Raises:
        BadRequest: fewer than 8 readings, or an expression is held through the calmest quarter: that is no rest.
    """
    strength = _strength(columns)
    readings = np.flatnonzero(np.isfinite(strength))
    if len(readings) < FEWEST:
        raise BadRequest(
            f"baseline=auto: {len(readings)} readings, wanted at least {FEWEST}; name a stretch or a person"
        )
    calm = readings[np.argsort(strength[readings], kind="stable")[: max(FEWEST, int(len(readings) * CALM_SHARE))]]
    rest = {name: _median(values[calm]) for name, values in columns.items()}
    _check_rest(rest)
    return Baseline(rest, "found", len(calm))


def _strength(columns: Mapping[str, NDArray[np.floating]]) -> NDArray[np.float64]:
    """Return how much each reading shows, (n,) 0..1; NaN where nothing says so."""
    parts = []
    if NEUTRAL in columns:
        parts.append(1 - np.asarray(columns[NEUTRAL], np.float64))
    units = [np.asarray(columns[name], np.float64) for name in ACTION_UNITS if name in columns]
    if units:
        parts.append(np.mean(units, axis=0))
    if not parts:
        raise BadRequest("baseline=auto needs the channel neutral or an action unit, and neither was measured")
    known = np.isfinite(parts)
    total = np.where(known, parts, 0).sum(axis=0)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / known.sum(axis=0))


def _check_rest(rest: Mapping[str, float]) -> None:
    shown = {name: rest[name] for name in EXPRESSIONS[1:] if name in rest and rest[name] > HELD}
    if shown and rest.get(NEUTRAL, 0) < RESTING:
        name = max(shown, key=shown.__getitem__)
        raise BadRequest(
            f"baseline=auto: {name} is held at {rest[name]:.2f} even where the face shows least, so no neutral face is "
            "there to be found; name a stretch (baseline=FROM..TO) or a person who shows one (baseline=ID)"
        )


def _mean(values: NDArray[np.floating]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean(dtype=np.float64)) if len(known) else float("nan")


def _median(values: NDArray[np.floating]) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else float("nan")
