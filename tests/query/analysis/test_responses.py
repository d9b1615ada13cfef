import numpy as np
import pytest

from contract.errors import BadRequest
from query.analysis.responses import Window, locked, response


def person(rise: float, chance: np.random.Generator) -> np.ndarray:
    t = np.arange(0, 200, 0.04)
    after = (t % 20) - 10  # a marker every 20 s, from 10 s on
    values = 0.3 + np.where((after >= 0.5) & (after < 3), rise, 0) + chance.normal(0, 0.05, len(t))
    return np.stack([t, values])


def test_a_response_rises_from_its_own_baseline_behind_the_marker() -> None:
    chance = np.random.default_rng(3)
    window = Window(-1, 5, 0.25)
    markers = [10 + 20 * k for k in range(10)]
    rows = {f"p{k}": locked(*person(0.4, chance), markers, window) for k in range(6)}

    seen = response(rows, window)

    assert (seen.people, seen.events, seen.asked) == (6, 60, 60)
    before, during, behind = seen.t < 0, (seen.t >= 0.5) & (seen.t < 3), seen.t >= 3.25
    np.testing.assert_allclose(seen.mean[before | behind], 0, atol=0.03)
    np.testing.assert_allclose(seen.mean[during], 0.4, atol=0.03)
    assert (seen.low <= seen.mean).all()
    assert (seen.mean <= seen.high).all()
    assert (seen.low[during] > 0.3).all()


def test_an_event_without_coverage_does_not_count() -> None:
    t, values = person(0.4, np.random.default_rng(4))
    seen = (t < 60) | (t > 180)
    rows = locked(t[seen], values[seen], [50, 110, 1_000], Window(-1, 5, 0.5))
    assert np.isfinite(rows).any(axis=1).tolist() == [True, False, False]
    none = response({"p": rows[1:]}, Window(-1, 5, 0.5))
    assert (none.people, none.events, none.asked) == (0, 0, 2)


@pytest.mark.parametrize("window", [(1, 5, 0.1), (-1, -0.5, 0.1), (-1, 5, 0), (-1, 5, 1e-5), (-0.1, 5, 0.5)])
def test_a_window_reaches_over_its_marker(window: tuple[float, float, float]) -> None:
    with pytest.raises(BadRequest, match="window="):
        Window(*window)
