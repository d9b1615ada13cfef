import math

import numpy as np
import pytest

from contract.errors import BadModel, EngineDoesNotFit
from contract.readings import Channel, ChannelKind, NetVersion
from tests.worker.examples import PureEngine, a_card, a_crop
from worker.reading.crops import resized
from worker.reading.reader import Reader, sigmoid, softmax

FACES = a_card(("neutral", "happiness", "anger"), edge=32, name="faces", version="2", sha256="a" * 64, temperature=1.5)
UNITS = a_card(("AU6", "AU12"), task="action_units", edge=24, name="units", temperature=0.5)


def test_the_schema_names_nets_and_channels_in_order() -> None:
    schema = Reader([PureEngine(FACES), PureEngine(UNITS)]).schema

    assert schema.nets[0] == NetVersion("faces", "2", "a" * 64)
    assert [net.name for net in schema.nets] == ["faces", "units"]
    assert schema.channels[2:4] == (Channel("anger", ChannelKind.EXPRESSION), Channel("AU6", ChannelKind.ACTION_UNIT))
    assert Reader([PureEngine(UNITS), PureEngine(FACES)]).schema.id != schema.id


def test_a_reading_is_what_the_plain_formulas_say() -> None:
    crops = [a_crop(n, 32) for n in range(3)]
    faces, units = PureEngine(FACES), PureEngine(UNITS)

    values = Reader([faces, units])(crops)

    assert values.shape == (3, 5)
    assert values.dtype == np.float32
    for crop, row in zip(crops, values, strict=True):
        powers = [math.exp(logit / 1.5) for logit in faces.logits_of(crop)]
        chances = [1 / (1 + math.exp(-logit / 0.5)) for logit in units.logits_of(resized([crop], 24)[0])]
        assert np.allclose(row, [power / sum(powers) for power in powers] + chances, atol=2e-6)  # float32
    assert np.allclose(values[:, :3].sum(axis=1), 1, atol=1e-6)


def test_a_reading_depends_on_its_crop_alone() -> None:
    reader = Reader([PureEngine(FACES), PureEngine(UNITS)])
    crops = [a_crop(n, 40) for n in range(5)]

    together = reader(crops)

    assert (together == np.concatenate([reader([crop]) for crop in crops])).all()


def test_each_engine_is_asked_once_in_its_own_edge() -> None:
    faces, units = PureEngine(FACES), PureEngine(UNITS)

    Reader([faces, units])([a_crop(n, 160) for n in range(4)])

    assert faces.calls == [(4, 32, 32, 3)]
    assert units.calls == [(4, 24, 24, 3)]


def test_no_crops_make_no_readings_and_ask_nobody() -> None:
    engine = PureEngine(FACES)

    assert Reader([engine])([]).shape == (0, 3)
    assert engine.calls == []


@pytest.mark.parametrize(
    ("cards", "words"),
    [
        ([], "no net"),
        ([FACES, a_card(("happiness",), name="again")], "faces, again both give 'happiness'"),
        ([a_card(("neutral",), edge=0)], "input edge 0 px"),
    ],
)
def test_nets_that_do_not_go_together_are_refused(cards: list, words: str) -> None:
    with pytest.raises(BadModel, match=words):
        Reader([PureEngine(card) for card in cards])


def test_an_engine_that_answers_in_another_shape_does_not_fit() -> None:
    engine = PureEngine(FACES)
    engine.logits_of = lambda crop: np.zeros(7, np.float32)  # type: ignore[method-assign]

    with pytest.raises(EngineDoesNotFit, match=r"logits of shape \(1, 7\), its card says logits of shape \(1, 3\)"):
        Reader([engine])([a_crop(1)])


def test_an_engine_without_the_named_output_does_not_fit() -> None:
    engine = PureEngine(a_card(("neutral",), output="scores"))

    with pytest.raises(EngineDoesNotFit, match=r"outputs \['logits'\], its card says scores"):
        Reader([engine])([a_crop(1)])


def test_huge_logits_overflow_nowhere() -> None:
    logits = np.array([[-1e4, 0.0, 1e4], [1e38, 0.0, -1e38]], np.float32)

    assert softmax(logits).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert sigmoid(logits).tolist() == [[0, 0.5, 1], [1, 0.5, 0]]
