import numpy as np
import pytest

from contract.errors import BadRequest
from query.analysis.baseline import found_baseline, mean_baseline


def face(neutral: np.ndarray, smile: np.ndarray, chance: np.random.Generator) -> dict[str, np.ndarray]:
    noise = chance.normal(0, 0.02, len(neutral))
    return {"neutral": np.clip(neutral + noise, 0, 1), "happiness": smile, "sadness": 1 - neutral - smile}


def test_the_face_at_rest_is_found_between_expressions() -> None:
    chance = np.random.default_rng(1)
    smiling = np.tile([0] * 60 + [1] * 40, 10).astype(bool)
    rest = 0.62, 0.05  # this mouth hangs: a third of sadness at rest
    columns = face(np.where(smiling, 0.1, rest[0]), np.where(smiling, 0.85, rest[1]), chance)

    found = found_baseline(columns)

    assert found.values["happiness"] == pytest.approx(0.05, abs=0.01)
    assert found.values["sadness"] == pytest.approx(0.33, abs=0.03)
    assert found.how == "found"


def test_a_smile_that_is_held_throughout_is_no_rest() -> None:
    columns = face(np.full(500, 0.05), np.full(500, 0.9), np.random.default_rng(2))
    with pytest.raises(BadRequest, match=r"happiness is held at 0\.90"):
        found_baseline(columns)


def test_without_readings_there_is_no_baseline() -> None:
    with pytest.raises(BadRequest, match="3 readings"):
        found_baseline({"neutral": np.array([0.9, 0.9, 0.9, np.nan])})
    with pytest.raises(BadRequest, match="no reading"):
        mean_baseline({"neutral": np.array([np.nan])}, "0..1")
    with pytest.raises(BadRequest, match="neither was measured"):
        found_baseline({"fear": np.zeros(100)})


def test_a_named_stretch_is_its_mean() -> None:
    given = mean_baseline({"AU12": np.array([0.1, 0.3, np.nan])}, "0..5")
    assert (given.values["AU12"], given.readings) == (pytest.approx(0.2), 2)
