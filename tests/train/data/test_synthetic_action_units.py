"""Faces drawn from portraits: a prepared set like any other, the same for a seed, without those who are judged on."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from contract.errors import BadRequest, BadSource, EngineUnavailable, MienError
from contract.labels import ACTION_UNITS
from tests.components import APT, missing
from train.data import synthetic_action_units as story
from train.data.faceset import FaceSet, open_set
from train.data.synthetic.fit import fit
from train.data.synthetic.mesh import CORNERS, Mesh, read_mesh
from train.data.synthetic.portraits import BIAS, FIVE, Portrait, sharp
from train.data.synthetic.render import Head, Renderer, View, head_of
from train.data.synthetic.units import movement
from train.data.synthetic_action_units import Plan, synthesise

COUNT = 14


@pytest.fixture(scope="module")
def drawn(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fourteen faces in shards of eight."""
    folder = tmp_path_factory.mktemp("synthetic") / "set"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(story, "PER_SHARD", 8)
        try:
            synthesise(shared_data, folder, Plan(count=COUNT, edge=64, small=0))
        except EngineUnavailable as error:
            missing(f"{error}: apt-get install -y {APT['egl']}")
    return folder


@pytest.fixture(scope="module")
def mesh(shared_data: Path) -> Mesh:
    """The real one."""
    return read_mesh(shared_data / story.MESH)


@pytest.fixture(scope="module")
def portraits(shared_data: Path) -> list[Portrait]:
    """Those that are learnt from."""
    return sharp(shared_data / "faces")


@pytest.fixture(scope="module")
def stage(drawn: Path, mesh: Mesh, portraits: list[Portrait]) -> Iterator[tuple[Renderer, Head]]:
    """A real person's head."""
    assert drawn.is_dir()  # there is something to draw with
    portrait = portraits[0]
    with Renderer(mesh) as renderer:
        yield renderer, head_of(mesh, fit(mesh, portrait.points), portrait.picture)


def test_the_set_is_one_that_the_loop_reads(drawn: Path) -> None:
    faces: FaceSet = open_set(drawn)

    assert (faces.kind, faces.names, len(faces)) == ("intensity", ACTION_UNITS, COUNT)
    assert faces.pictures.shape == (64, 64, 1)
    assert faces.targets.max() <= 5
    assert len(set(faces.keys.tolist())) == COUNT
    assert set(faces.splits.tolist()) <= {"train", "validation"}
    assert faces.pictures.take(np.arange(COUNT)).std(axis=(1, 2, 3)).min() > 5  # something is on every picture


def test_nobody_who_is_judged_on_is_learnt_from(drawn: Path, shared_data: Path, portraits: list[Portrait]) -> None:
    judged = {path.stem for path in (shared_data / "faces" / "london").glob("*.jpg")}
    learnt = {portrait.key for portrait in portraits}

    assert len(learnt) >= 30
    assert not learnt & judged
    assert set(open_set(drawn).subjects.tolist()) <= learnt


def test_an_interrupted_run_goes_on_and_ends_the_same(
    drawn: Path, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(story, "PER_SHARD", 8)
    again = tmp_path / "again"
    again.mkdir()
    for name in (".key", "00000.npy", "00000.index.npz"):
        shutil.copy(drawn / name, again / name)  # the first shard is done, the second is not
    told: list[tuple[str, int, int]] = []

    synthesise(shared_data, again, Plan(count=COUNT, edge=64, small=0), lambda *step: told.append(step))

    assert open_set(again).digest == open_set(drawn).digest
    assert told[0][1] > 8  # nothing was drawn twice
    with pytest.raises(BadSource, match="another set or other options"):
        synthesise(shared_data, again, Plan(count=COUNT, edge=64, small=0, seed=1))


def test_lips_and_corners_of_a_real_head_move_as_labelled(stage: tuple[Renderer, Head]) -> None:
    renderer, head = stage

    def drawn_with(**levels: float) -> tuple[np.ndarray, np.ndarray]:
        _, points, labels = story.moved(renderer, head, movement(levels), View())
        return points, labels

    rest, none = drawn_with()
    smile, labels = drawn_with(AU12=1.0)
    gaps = [drawn_with(AU26=level)[0][66, 1] - drawn_with(AU26=level)[0][62, 1] for level in (0.0, 0.5, 1.0)]
    parted, of_parted = drawn_with(AU25=1.0)
    assert not none.any()
    assert (smile[list(CORNERS), 1] < rest[list(CORNERS), 1] - 1.5).all()  # px of 192: a corner rises
    assert labels[ACTION_UNITS.index("AU12")] == 5
    assert gaps[0] < gaps[1] - 2 < gaps[2] - 4  # a jaw that drops opens the mouth, the further the more
    assert parted[66, 1] - parted[62, 1] > gaps[0] + 2
    assert of_parted[ACTION_UNITS.index("AU25")] >= 2
    assert drawn_with(AU26=1.0)[1][ACTION_UNITS.index("AU25")] >= 2  # open is open, whatever opened it


def test_the_detectors_bias_is_what_the_portraits_show(mesh: Mesh, portraits: list[Portrait]) -> None:
    offsets = []
    for portrait in portraits[::4]:
        fitted = fit(mesh, portrait.points)
        mine = FIVE @ fitted.project(fitted.vertices)[mesh.landmarks]
        assert fitted.error_px < 5  # of 100 px between the eyes
        offsets.append((portrait.five_xy - mine) / np.linalg.norm(mine[1] - mine[0]))

    assert np.abs(np.mean(offsets, axis=0) - BIAS).max() < 0.05  # ten of forty people, each within 0.04


@pytest.mark.parametrize(
    ("plan", "wanted"),
    [
        (Plan(count=0), "count is 0, wanted 1 to"),
        (Plan(edge=8), "edge is 8, wanted 16 to 192"),
        (Plan(small=-1), "small is -1, wanted 0 to"),
        (Plan(seed=-1), "seed is -1"),
    ],
)
def test_a_number_that_cannot_be_is_refused(plan: Plan, wanted: str, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=wanted):
        synthesise(tmp_path, tmp_path / "set", plan)


def test_data_that_are_not_there_are_one_line(tmp_path: Path) -> None:
    for place in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(MienError, match=r"no such f(older|ile); wanted") as caught:
            synthesise(place, tmp_path / "set", Plan(count=4))
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "set").exists()
