"""One suite over every engine that can run here. TensorRT runs over a stand-in (see conftest.py): no GPU is needed."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from contract.errors import BadRequest
from contract.model_card import read_card
from models.engines import Engine, read_all
from models.engines.choose import program_card
from models.engines.onnx import OnnxEngine
from models.engines.tensorrt import open_tensorrt
from models.engines.torch import TorchEngine

ENGINES = ("onnx", "torch", "tensorrt over a stand-in")


@pytest.fixture(params=ENGINES)
def engine(request, exported, gpu, library, tmp_path) -> Engine:
    card, folder = exported
    if request.param == "onnx":
        return OnnxEngine(card, folder)
    if request.param == "torch":
        return TorchEngine(read_card(program_card(card, folder)), folder)
    return open_tensorrt(card, folder, tmp_path, library, gpu)


def test_the_outputs_are_those_of_torch_in_the_order_of_the_crops(engine, small_graph, crops):
    with torch.inference_mode():
        wanted = small_graph(torch.from_numpy(crops)).numpy()

    seen = engine(crops)

    assert list(seen) == [engine.card.output]
    assert seen["logits"].dtype == np.float32
    np.testing.assert_allclose(seen["logits"], wanted, atol=1e-4)  # the export's tolerance


def test_one_crop_gives_what_it_gives_in_a_batch(engine, crops):
    together = engine(crops)["logits"]

    alone = np.concatenate([engine(crops[row : row + 1])["logits"] for row in range(len(crops))])

    np.testing.assert_allclose(alone, together, atol=1e-5)  # sums in another order


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 9])
def test_any_batch_size_will_do(engine, crops, size):
    assert engine(crops[:size])["logits"].shape == (size, len(engine.card.labels))


def test_no_crops_give_no_rows_of_the_right_width(engine, crops):
    seen = engine(crops[:0])["logits"]

    assert (seen.shape, seen.dtype) == ((0, len(engine.card.labels)), np.float32)


@pytest.mark.parametrize(
    ("wrong", "seen"),
    [
        (np.zeros((2, 24, 24, 3), np.float32), r"\(2, 24, 24, 3\) float32"),  # not bytes
        (np.zeros((2, 3, 24, 24), np.uint8), r"\(2, 3, 24, 24\) uint8"),  # planes first
        (np.zeros((24, 24, 3), np.uint8), r"\(24, 24, 3\) uint8"),  # no batch
        (np.zeros((2, 24, 32, 3), np.uint8), r"\(2, 24, 32, 3\) uint8"),  # another size
        (np.zeros((2, 24, 24, 1), np.uint8), r"\(2, 24, 24, 1\) uint8"),  # grey
        ([[1, 2, 3]], "list"),
    ],
)
def test_another_shape_or_type_is_refused_with_what_was_wanted(engine, wrong, seen):
    with pytest.raises(BadRequest, match=rf"small: crops are {seen}, wanted \(N, 24, 24, 3\) uint8"):
        engine(wrong)


def test_the_same_crops_give_the_same_bits(engine, crops):
    first, second = engine(crops[:5])["logits"], engine(crops[:5])["logits"]

    assert first.tobytes() == second.tobytes()


def test_results_stay_when_the_next_batch_comes(engine, crops):
    first = engine(crops[:3])["logits"]
    copy = first.copy()

    engine(crops[3:6])

    np.testing.assert_array_equal(first, copy)


def test_turned_and_read_only_crops_are_read_as_they_look(engine, crops):
    turned = crops[:, :, ::-1]
    frozen = turned.copy()
    frozen.flags.writeable = False

    np.testing.assert_array_equal(engine(turned)["logits"], engine(frozen)["logits"])


def test_threads_share_an_engine(engine, crops):
    wanted = [engine(crops[row : row + 3])["logits"] for row in range(8)]

    with ThreadPoolExecutor(4) as pool:
        seen = list(pool.map(lambda row: engine(crops[row % 8 : row % 8 + 3])["logits"], range(48)))

    for row, logits in enumerate(seen):
        np.testing.assert_allclose(logits, wanted[row % 8], atol=1e-6)


def test_an_engine_leaves_no_thread_of_python_behind(engine, crops):
    before = threading.active_count()

    engine(crops)

    assert threading.active_count() == before


def test_tickets_are_collected_in_any_order(engine, crops):
    wanted = [engine(crops[row : row + 2])["logits"] for row in range(5)]

    tickets = [engine.submit(crops[row : row + 2]) for row in range(5)]

    for row in (4, 0, 3, 1, 2):
        np.testing.assert_allclose(tickets[row].collect()["logits"], wanted[row], atol=1e-6)
    np.testing.assert_array_equal(tickets[0].collect()["logits"], tickets[0].collect()["logits"])


def test_a_wrong_batch_is_refused_when_it_is_submitted(engine):
    with pytest.raises(BadRequest, match="small: crops are"):
        engine.submit(np.zeros((2, 24, 32, 3), np.uint8))


def test_no_crops_can_be_submitted(engine, crops):
    assert engine.submit(crops[:0]).collect()["logits"].shape == (0, len(engine.card.labels))


def test_a_closed_engine_finished_what_it_was_given_and_left_no_thread(engine, crops):
    before = threading.active_count()
    wanted = engine(crops[:3])["logits"]
    engine.warm_up(4)
    ticket = engine.submit(crops[:3])

    engine.close()

    assert threading.active_count() == before
    np.testing.assert_allclose(ticket.collect()["logits"], wanted, atol=1e-6)


def test_several_engines_read_at_the_same_time(engine, exported, crops):
    card, folder = exported
    other = OnnxEngine(card, folder)

    seen = read_all([engine, other], [crops[:3], crops[3:5]])

    np.testing.assert_allclose(seen[0]["logits"], engine(crops[:3])["logits"], atol=1e-6)
    np.testing.assert_allclose(seen[1]["logits"], other(crops[3:5])["logits"], atol=1e-6)
