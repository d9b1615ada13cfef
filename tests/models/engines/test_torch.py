"""A .pt2 archive is opened only when it holds a graph and plain tensors."""

import io
import json
import pickle
import zipfile

import msgspec
import pytest
import torch

from contract.errors import BadModel
from contract.model_card import read_card
from models.engines.choose import program_card
from models.engines.torch import TorchEngine, open_program


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("the pickle ran",))


@pytest.fixture
def archive(exported) -> bytes:
    card, folder = exported
    return (folder / read_card(program_card(card, folder)).file).read_bytes()


def rewritten(archive: bytes, change) -> bytes:
    """The archive with entries as `change` gives them back from (name, body); None leaves one out."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(out, "w") as new:
        for entry in old.infolist():
            if (body := change(entry.filename, old.read(entry))) is not None:
                new.writestr(entry.filename, body)
    return out.getvalue()


def test_what_export_writes_is_opened(archive):
    assert open_program(archive, "small").module() is not None


def test_sample_inputs_are_refused_because_torch_unpickles_them(archive):
    bad = rewritten(archive, lambda name, body: pickle.dumps(Bomb()) if "sample_inputs" in name else body)

    with pytest.raises(BadModel, match=r"sample_inputs/model\.pt', wanted only a graph and plain tensors"):
        open_program(bad, "small")


@pytest.mark.parametrize(
    "name",
    ["data/constants/opaque_obj_0", "data/constants/custom_obj_0", "data/weights/model.pt", "data/aotinductor/m/x.so"],
)
def test_pickles_and_libraries_are_refused(archive, name):
    out = io.BytesIO(archive)
    with zipfile.ZipFile(out, "a") as added:
        root = added.namelist()[0].partition("/")[0]
        added.writestr(f"{root}/{name}", pickle.dumps(Bomb()))

    with pytest.raises(BadModel, match="wanted only a graph and plain tensors"):
        open_program(out.getvalue(), "small")


def test_a_pickled_weight_is_refused(archive):
    def change(name, body):
        if not name.endswith("weights_config.json"):
            return body
        config = json.loads(body)
        next(iter(config["config"].values()))["use_pickle"] = True
        return json.dumps(config).encode()

    with pytest.raises(BadModel, match="is pickled in the archive, wanted raw bytes"):
        open_program(rewritten(archive, change), "small")


def test_a_name_that_is_there_twice_is_refused(archive):
    out = io.BytesIO(archive)
    with zipfile.ZipFile(out, "a") as added, pytest.warns(UserWarning, match="Duplicate name"):
        added.writestr(added.namelist()[0], b"other")

    with pytest.raises(BadModel, match="holds a name twice"):
        open_program(out.getvalue(), "small")


@pytest.mark.parametrize("body", [b"", b"PK\x03\x04", pickle.dumps({"a": 1})])
def test_what_is_no_archive_is_refused(body):
    with pytest.raises(BadModel, match="cannot open this program"):
        open_program(body, "small")


def test_a_state_dict_is_refused(tmp_path):
    torch.save({"weight": torch.zeros(2)}, tmp_path / "a.pt")

    with pytest.raises(BadModel, match="wanted only a graph and plain tensors"):
        open_program((tmp_path / "a.pt").read_bytes(), "small")


def test_a_program_that_its_card_does_not_describe_is_not_opened(exported, monkeypatch):
    card, folder = exported
    described = msgspec.structs.replace(read_card(program_card(card, folder)), sha256="0" * 64)
    monkeypatch.setattr("models.engines.torch.open_program", lambda *_: pytest.fail("opened"))

    with pytest.raises(BadModel, match="as its card says"):
        TorchEngine(described, folder)
