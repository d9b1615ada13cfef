import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from contract.errors import BadModel
from contract.exit_codes import BAD_INPUT, CONFIG
from models.zoo import FOLDER, find
from worker.reading.nets import engines_of
from worker.reading.reader import Reader


def run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "worker", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env={"PATH": ""})


WHERE = ("--bootstrap", "127.0.0.1:9", "--redis", "redis://127.0.0.1:9", "--health-port", "0")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "worker: no --bootstrap and no MIEN_KAFKA_BOOTSTRAP; wanted one of them\n"),
        ((*WHERE, "--batch-size", "0"), "worker: batch_size is 0; wanted 1 to 1024\n"),
    ],
)
def test_a_bad_option_is_one_line_and_a_code_of_its_own(options: tuple[str, ...], words: str) -> None:
    done = run(*options)

    assert done.stderr == words
    assert done.returncode == BAD_INPUT


def test_a_net_that_reads_no_faces_is_an_operators_mistake() -> None:
    done = run(*WHERE, "--nets", "centerface")

    assert done.returncode == CONFIG
    assert "centerface is for face detection; --nets wants nets that read faces" in done.stderr.splitlines()[-1]


def test_nets_are_read_side_by_side() -> None:
    nets = ["expressions.int8", "expressions.int8"]

    with pytest.raises(BadModel, match="each channel once"):
        Reader(engines_of(nets, "onnx"))

    assert [net.name for net in Reader(engines_of(nets[:1], "onnx")).schema.nets] == ["expressions.int8"]


def test_a_net_of_ones_own_is_named_by_its_card(tmp_path: Path) -> None:
    (mine := tmp_path / "zoo").mkdir()
    for path in (FOLDER / "expressions").glob("expressions.int8.*"):
        shutil.copy(path, mine)

    (net,) = engines_of([str(mine / "expressions.int8.json")], "onnx")

    assert net.card == find("expressions.int8")[0]
    with pytest.raises(BadModel, match=r"nowhere\.json: no readable model card"):
        engines_of([str(tmp_path / "nowhere.json")])
