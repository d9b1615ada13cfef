"""Action units without a licence wall: portraits at rest are moved by known units and drawn again, as a prepared set.

A head (ICT-FaceKit, MIT) is fitted to each photograph, the photograph becomes its skin, its shapes move it by known
intensities, and it is drawn turned and lit anew. Every face goes through the same drawing, also those at rest, so
that no trace of the drawing tells a unit. See docs/decisions/0009-synthetic-action-units.md.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.errors import BadRequest, SourceNotFound
from contract.labels import ACTION_UNITS
from ingest.faces.align import DegenerateLandmarks, cut, similarity
from ingest.faces.quality import sharpness
from train.data.layout import Layout
from train.data.prepare import Plan as Stored
from train.data.prepare import claim, finish, inverse, save, sha256, writable
from train.data.synthetic.creases import depth
from train.data.synthetic.fit import Fitted, fit
from train.data.synthetic.mesh import Mesh, lip_gap, read_mesh
from train.data.synthetic.picture import seen_by_a_camera
from train.data.synthetic.portraits import FIVE, Portrait, everyone
from train.data.synthetic.render import EDGE as FRAME
from train.data.synthetic.render import Head, Renderer, View, head_of
from train.data.synthetic.units import Movement, draw_movement, labelled

VERSION = 2  # rises when the same plan would give other pictures
MESH = "ict_facekit_compact.npz"
PER_HEAD = 4  # faces drawn of a head before the next
PER_SHARD = 1024
SHARP_SHARE = 0.45  # of heads come from the sharp portraits
LANDMARK_NOISE = 0.025  # eye distances: how far the detector's points wander
EYES_PX = 0.215  # of the frame: the crop then takes four fifths of it

Report = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """How many faces of whom."""

    count: int = 12_288
    edge: int = 112  # px of the crops
    seed: int = 0
    small: int = 1500  # portraits from FER+ beside the sharp ones; 0: none


@dataclass(frozen=True, slots=True)
class Face:
    """One drawn face."""

    crop: NDArray[np.uint8]  # (edge, edge) grey
    labels: NDArray[np.uint8]  # (12,) 0..5
    to_picture: NDArray[np.float64]  # (2, 3) fractions of the crop -> px of the frame


def synthesise(shared: Path, folder: Path, plan: Plan = Plan(), report: Report = lambda *_: None) -> dict[str, Any]:
    """Write the prepared set and return its manifest; what an interrupted run finished is kept.

    Args:
        shared: folder with `faces/`, `ferplus/` and ICT-FaceKit's shapes.
        folder: of the prepared set.
        plan: the same plan and seed give the same pictures on the same machine.
        report: called with a stage, how many are done, and of how many.

    Raises:
        BadRequest: a number in the plan that cannot be.
        BadSource: portraits or mesh are missing; the folder holds another set.
        BadOutput: the folder cannot be written.
        EngineUnavailable: nothing that draws without a screen.
    """
    _check(plan)
    if not shared.is_dir():
        raise SourceNotFound(f"{shared}: no such folder; wanted one with faces/, ferplus/ and {MESH}")
    mesh = read_mesh(shared / MESH)
    with writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
        claim(folder, _key(shared, plan))
        portraits = everyone(shared, plan.small, plan.seed)
        shards = list(_shards(mesh, portraits, folder, plan, report))
        name = "synthetic action units"
        return finish(Layout(name, "intensity", ACTION_UNITS, []), folder, Stored(plan.edge), shards, 0)


def _check(plan: Plan) -> None:
    for name, value, least, most in (
        ("count", plan.count, 1, 10_000_000),
        ("edge", plan.edge, 16, FRAME),
        ("small", plan.small, 0, 30_000),
        ("seed", plan.seed, 0, 2**31),
    ):
        if not least <= value <= most:
            raise BadRequest(f"{name} is {value}, wanted {least} to {most}")


def _key(shared: Path, plan: Plan) -> str:
    digest = hashlib.sha256(repr((VERSION, plan)).encode())
    for path in [*sorted((shared / "faces").glob("*.npz")), shared / MESH]:
        digest.update(sha256(path).encode())
    return digest.hexdigest()


def _shards(
    mesh: Mesh, portraits: Sequence[Portrait], folder: Path, plan: Plan, report: Report
) -> Iterator[dict[str, Any]]:
    with Renderer(mesh) as renderer:
        for number, start in enumerate(range(0, plan.count, PER_SHARD)):
            rows = range(start, min(start + PER_SHARD, plan.count))
            pictures, index = folder / f"{number:05d}.npy", folder / f"{number:05d}.index.npz"
            if not (pictures.is_file() and index.is_file()):
                crops, fields = _drawn(renderer, portraits, rows, plan, report)
                save(pictures, crops)
                save(index, fields)
            hashes = {"sha256": sha256(pictures), "index_sha256": sha256(index)}
            yield {"file": pictures.name, "index": index.name, "rows": len(rows), **hashes}
    report("drawing", plan.count, plan.count)


def _drawn(
    renderer: Renderer, portraits: Sequence[Portrait], rows: range, plan: Plan, report: Report
) -> tuple[NDArray[np.uint8], dict[str, NDArray[Any]]]:
    """The faces of one shard; a shard begins with a new head, so it is the same whatever was drawn before."""
    faces, whose = [], []
    for begin in range(rows.start, rows.stop, PER_HEAD):
        portrait = portrait_of(portraits, begin // PER_HEAD, plan.seed)
        fitted = fit(renderer.mesh, portrait.points)
        head = head_of(renderer.mesh, fitted, portrait.picture)
        for row in range(begin, min(begin + PER_HEAD, rows.stop)):
            faces.append(face(renderer, head, portrait, np.random.default_rng([plan.seed, row]), plan.edge))
            whose.append(portrait)
        report("drawing", rows.start + len(faces), plan.count)
    crops = np.stack([each.crop for each in faces])[..., None]
    maps = np.stack([each.to_picture for each in faces])
    return crops, {
        "targets": np.stack([each.labels for each in faces]),
        "splits": np.array([each.split for each in whose]),
        "subjects": np.array([each.key for each in whose]),
        "keys": np.array([f"{each.key}/{row:06d}" for each, row in zip(whose, rows, strict=True)]),
        "face_px": np.hypot(maps[:, 0, 0], maps[:, 1, 0]).astype(np.float32),
        "sharpness": np.array([sharpness(np.repeat(crop, 3, axis=2)) for crop in crops], np.float32),
    }


def portrait_of(portraits: Sequence[Portrait], place: int, seed: int) -> Portrait:
    """Whose head is drawn in this place: sharp portraits often, small ones in turn."""
    random = np.random.default_rng([seed, place, 1])
    enlarged = [portrait for portrait in portraits if portrait.is_small]
    crisp = [portrait for portrait in portraits if not portrait.is_small]
    some = crisp if crisp and (not enlarged or random.random() < SHARP_SHARE) else enlarged
    return some[int(random.integers(len(some)))]


def face(renderer: Renderer, head: Head, portrait: Portrait, random: np.random.Generator, edge: int) -> Face:
    """A face drawn at random: movement, pose, light, crop, camera."""
    while True:
        movement, view = draw_movement(random), draw_view(random)
        frame, points, labels = moved(renderer, head, movement, view, random.random())
        five = _five(portrait, head.fitted, renderer.mesh, points)
        five = five + random.normal(0.0, LANDMARK_NOISE * view.eyes_px, (5, 2))
        try:
            to_picture = inverse(similarity(five))
        except DegenerateLandmarks:
            continue
        return Face(seen_by_a_camera(cut(frame, five, edge), random), labels, to_picture)


def moved(
    renderer: Renderer, head: Head, movement: Movement, view: View, deep: float = 0.5
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.uint8]]:
    """Frame (u8 RGB), the 68 landmarks in it, and the labels 0..5 of a head that moves so and creases 0..1 deep."""
    added = renderer.mesh.expression(movement.shapes)
    creases = depth(renderer.mesh.neutral, movement.levels, deep)
    frame, points = renderer.draw(head, added, view, creases)
    places = renderer.mesh.landmarks
    gap = lip_gap(head.fitted.vertices + added, places) - lip_gap(head.fitted.vertices, places)
    return frame, points, labelled(movement, gap)


def draw_view(random: np.random.Generator) -> View:
    """Up to a good 30° aside, lit from anywhere in front."""
    nod, shake, tilt = random.normal(0.0, (0.12, 0.22, 0.10))
    lamp = random.normal(0.0, 1.0, 2)
    return View(
        turn_rad=(float(np.clip(nod, -0.3, 0.3)), float(np.clip(shake, -0.6, 0.6)), float(tilt)),
        eyes_px=float(FRAME * EYES_PX * random.uniform(0.95, 1.05)),
        light=(float(lamp[0]), float(lamp[1]) * 0.7 + 0.2, 1.0),
        lamp=float(random.uniform(0.0, 1.0)),
        folds=float(random.uniform(0.7, 1.6)),
        mouth=float(random.uniform(0.6, 1.25)),
    )


def _five(portrait: Portrait, fitted: Fitted, mesh: Mesh, points: NDArray[np.float32]) -> NDArray[np.float64]:
    """The five points in the frame, as far from the mesh's as the detector saw them in the photograph."""
    at_rest = FIVE @ fitted.project(fitted.vertices)[mesh.landmarks].astype(float)
    here = FIVE @ points.astype(float)
    before, after = ((eyes[1] - eyes[0]) @ np.array([1, 1j]) for eyes in (at_rest, here))
    offsets = (portrait.five_xy - at_rest) @ np.array([1, 1j]) * (after / before)
    return np.asarray(here + np.column_stack([offsets.real, offsets.imag]), np.float64)
