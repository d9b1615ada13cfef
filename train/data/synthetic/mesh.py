"""A head that can be anybody and move: ICT-FaceKit's mean, identities and expressions."""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.errors import BadSource, SourceNotFound

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

PARTS = {
    "skin": (0, 11_248),  # face, head and neck
    "mouth": (11_248, 13_294),  # the inside behind the lips
    "gums": (14_062, 17_039),  # and tongue
    "teeth": (17_039, 21_451),
    "eyes": (21_451, 24_591),
}
"""Ranges of vertices (README of ICT-FaceKit, «Geometry»); lashes, tear lines and eye sockets are left out."""

LANDMARKS = 68  # iBUG's order: left to right as seen in the picture
UPPER_LIP, LOWER_LIP = 62, 66  # the middle of their inner edges
CORNERS = (48, 54)


@dataclass(frozen=True)  # not slotted: cached properties
class Mesh:
    """Units of about a centimetre; x to the right of the picture, y up, z towards the camera."""

    neutral: Floats  # (V, 3)
    identities: Floats  # (K, V, 3), each about one standard deviation
    expressions: Floats  # (E, V, 3)
    names: Mapping[str, int]  # of the expressions
    triangles: Mapping[str, Ints]  # part -> (T, 3)
    landmarks: NDArray[np.int64]  # (68,)

    @cached_property
    def corners(self) -> tuple[Ints, Ints]:
        """Triangles of the skin, and the vertex that each of their corners adds its normal to."""
        skin = self.triangles["skin"]
        return skin, np.ascontiguousarray(skin.T.reshape(-1))

    def expression(self, weights: Mapping[str, float]) -> Floats:
        """(V, 3) what these shapes, each 0..1, add.

        Raises:
            BadSource: a shape does not exist.
        """
        if lost := [name for name in weights if name not in self.names]:
            raise BadSource(f"the mesh has no shape {lost[0]!r}; it has {', '.join(self.names)}")
        moved = np.zeros_like(self.neutral)
        for name, weight in weights.items():
            if weight:
                moved += np.float32(weight) * self.expressions[self.names[name]]
        return moved

    def normals(self, vertices: Floats) -> Floats:
        """(V, 3) of the skin, unit length; zero elsewhere."""
        skin, corner = self.corners
        a, b, c = (vertices[skin[:, k]] for k in range(3))
        faces = np.cross(b - a, c - a)  # (T, 3), as long as twice the area
        sums = [np.bincount(corner, np.tile(faces[:, k], 3), len(vertices)) for k in range(3)]
        summed = np.stack(sums, axis=1)
        length = np.maximum(np.linalg.norm(summed, axis=1, keepdims=True), 1e-9)
        return np.asarray(summed / length, np.float32)


def lip_gap(vertices: Floats, landmarks: NDArray[np.int64]) -> float:
    """Distance of the inner edges of the lips in their middle, in widths of the mouth."""
    upper, lower = vertices[landmarks[UPPER_LIP]], vertices[landmarks[LOWER_LIP]]
    width = vertices[landmarks[CORNERS[1]]] - vertices[landmarks[CORNERS[0]]]
    return float(np.linalg.norm(upper - lower) / np.linalg.norm(width))


def read_mesh(path: Path, identities: int = 50) -> Mesh:
    """The mesh in an npz of ICT-FaceKit's shapes, with its first identities.

    Raises:
        SourceNotFound: no such file.
        BadSource: it holds something else.

    Source: ICT-FaceKit (MIT, University of Southern California, 2020); Li et al., «Learning Formation of
    Physically-Based Face Attributes», CVPR 2020.
    """
    if not path.is_file():
        raise SourceNotFound(f"{path}: no such file; wanted the npz of ICT-FaceKit's shapes")
    try:
        with np.load(path, allow_pickle=False) as fields:
            neutral, quads = fields["neutral"], fields["faces"]
            names = [str(name) for name in fields["expression_names"]]
            landmarks = fields["landmarks68"]
            deltas, people = fields["expression_deltas"], fields["identity_deltas"][:identities]
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise BadSource(f"{path}: no npz of ICT-FaceKit's shapes ({error})") from error
    count = max(end for _, end in PARTS.values())
    if landmarks.shape != (LANDMARKS,) or len(neutral) < count or deltas.shape[1:] != neutral.shape:
        raise BadSource(f"{path}: {len(neutral)} vertices and {landmarks.shape} landmarks, wanted {count} and (68,)")
    kept = [np.ascontiguousarray(each[..., :count, :], np.float32) for each in (neutral, people, deltas)]
    triangles = {part: _triangles(quads, *ends) for part, ends in PARTS.items()}
    return Mesh(kept[0], kept[1], kept[2], {name: n for n, name in enumerate(names)}, triangles, landmarks)


def _triangles(quads: NDArray[Any], begin: int, end: int) -> Ints:
    """Both triangles of each face of a part; −1 stands for no fourth corner."""
    here = quads[((quads >= begin) & (quads < end) | (quads < 0)).all(1)]
    second = here[here[:, 3] >= 0][:, [0, 2, 3]]
    return np.concatenate([here[:, :3], second]).astype(np.int32)
