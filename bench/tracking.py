"""How well people keep their numbers: IDF1, identity switches, recall. `python -m bench.tracking [VIDEO] [TRUTH]`.

The clip is crossing_people.mp4 of the shared data: four people cross, hide one another, leave and return. A face counts
where at least a quarter of it is visible; boxes meet at IoU 0.4. Reported boxes on faces less visible than that
are left out, as in the MOT challenges; `strict` counts them as false.
"""

import argparse
import json
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ingest.faces.assign import assign
from ingest.faces.detect import CenterFace, iou
from ingest.faces.follow import Follower

LEAST_VISIBLE = 0.25
LEAST_OVERLAP = 0.4
DATA = Path(os.environ.get("MIEN_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))

Boxes = dict[int, NDArray[np.float32]]
"""The boxes (xywh, px) of one frame by identity."""


@dataclass(frozen=True, slots=True)
class Score:
    """Counts over all frames of a clip, and what is usually made of them."""

    faces: int  # true faces that count
    reported: int
    matched: int  # frame by frame, at most one to one
    switches: int  # a face's number differs from the one it was last matched with
    kept: int  # matched under the one assignment of numbers to people that fits best (IDTP)

    @property
    def idf1(self) -> float:
        """Ristani et al. 2016, arXiv 1609.01775, eq. 9."""
        return 2 * self.kept / max(self.faces + self.reported, 1)

    @property
    def recall(self) -> float:
        """Share of the faces found, by whatever number."""
        return self.matched / max(self.faces, 1)

    @property
    def false(self) -> int:
        """Reported where no face is."""
        return self.reported - self.matched

    @property
    def mota(self) -> float:
        """Bernardin & Stiefelhagen 2008: 1 - (missed + false + switches) / faces."""
        return 1.0 - (self.faces - self.matched + self.false + self.switches) / max(self.faces, 1)


def main() -> None:
    """Print one line per way of counting."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", nargs="?", type=Path, default=DATA / "videos" / "crossing_people.mp4")
    parser.add_argument("truth", nargs="?", type=Path, default=DATA / "videos" / "crossing_people.gt.json")
    parser.add_argument("--detect-every", type=int, default=None, help="frames; default: as shipped")
    given = parser.parse_args()
    every = {} if given.detect_every is None else {"detect_every": given.detect_every}
    follower = Follower(CenterFace(), **every)
    started = time.process_time()
    reported = list(follow(given.video, follower))
    spent = time.process_time() - started
    print(f"{len(reported)} frames, {follower.detections} searched, {1e3 * spent / len(reported):.1f} ms CPU per frame")
    for strict in (False, True):
        score = compare(read_truth(given.truth, len(reported)), reported, strict=strict)
        print(
            f"{'strict' if strict else 'usual ':6}  IDF1 {score.idf1:.3f}  switches {score.switches}  recall "
            f"{score.recall:.3f}  false {score.false}  faces {score.faces}  MOTA {score.mota:.3f}"
        )


def follow(video: Path, follower: Follower) -> Iterator[Boxes]:
    """The reported boxes of each frame by person, decoding included."""
    stream = cv2.VideoCapture(str(video))
    fps = stream.get(cv2.CAP_PROP_FPS)
    for number in range(1_000_000):
        there, frame = stream.read()
        if not there:
            break
        frame_rgb = np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8)
        yield {face.person: face.box_xywh for face in follower.see(frame_rgb, round(number / fps * 1e6))}
    stream.release()


def read_truth(path: Path, frames: int) -> list[tuple[Boxes, Boxes]]:
    """For each frame the faces that count and those too hidden to count."""
    truth: list[tuple[Boxes, Boxes]] = [({}, {}) for _ in range(frames)]
    for face in json.loads(path.read_text())["annotations"]:
        hidden = face["visible"] < LEAST_VISIBLE
        truth[face["frame"]][hidden][face["id"]] = np.array(face["box_xywh"], np.float32)
    return truth


def compare(truth: list[tuple[Boxes, Boxes]], reported: list[Boxes], *, strict: bool = False) -> Score:
    """The score of reported boxes; frames in step with the truth."""
    faces = given = matched = switches = 0
    together: dict[tuple[int, int], int] = defaultdict(int)
    last: dict[int, int] = {}
    for (counted, hidden), seen in zip(truth, reported, strict=True):
        pairs = _pairs(counted, seen, last)
        if not strict:
            free = {name: box for name, box in seen.items() if name not in pairs.values()}
            beside = set(_pairs(hidden, free, {}).values())
            seen = {name: box for name, box in seen.items() if name not in beside}
        faces, given, matched = faces + len(counted), given + len(seen), matched + len(pairs)
        switches += sum(last.get(face, name) != name for face, name in pairs.items())
        last |= pairs
        for face, box in counted.items():
            for name, other in seen.items():
                together[face, name] += bool(iou(box[None], other[None])[0, 0] >= LEAST_OVERLAP)
    return Score(faces, given, matched, switches, _kept(together))


def _pairs(faces: Boxes, seen: Boxes, last: dict[int, int]) -> dict[int, int]:
    """Which number each face is matched with; earlier matches go on while they hold (CLEAR MOT)."""
    if not faces or not seen:
        return {}
    overlap = iou(np.stack(list(faces.values())), np.stack(list(seen.values()))).astype(np.float64)
    cost = np.where(overlap >= LEAST_OVERLAP, 1.0 - overlap, np.inf)
    for row, face in enumerate(faces):
        for column, name in enumerate(seen):
            cost[row, column] -= 10.0 * (last.get(face) == name)
    names = list(seen)
    return {list(faces)[row]: names[column] for row, column in assign(cost)}


def _kept(together: dict[tuple[int, int], int]) -> int:
    """The most frames that one assignment of numbers to people explains."""
    people, names = (sorted({pair[i] for pair in together}) for i in (0, 1))
    counts = np.array([[together.get((person, name), 0) for name in names] for person in people], np.float64)
    if not counts.size:
        return 0
    return int(sum(counts[row, column] for row, column in assign(-counts)))


if __name__ == "__main__":
    main()
