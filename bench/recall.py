"""Faces found and missed in annotated stills. `python -m bench.recall [FOLDER]`.

A face counts as found where a detection overlaps its box by IoU 0.5. Faces of less than 20 px and those marked as
difficult are neither asked for nor, from IoU 0.3 on, held against the detector. Boxes of the portraits come from
hand-placed outlines, another convention than the detector's: the two typically meet at 0.8.
"""

import argparse
import json
import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ingest.faces.detect import LIVE_LONG_SIDE, STILL_LONG_SIDE, CenterFace, Detection, iou

LEAST_OVERLAP = 0.5
LEAST_SIDE = 20.0  # px
DATA = Path(os.environ.get("MIEN_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


@dataclass(frozen=True, slots=True)
class Recall:
    """Counts over all pictures."""

    faces: int
    found: int
    false: int

    @property
    def share(self) -> float:
        """Share of the faces found."""
        return self.found / max(self.faces, 1)

    @property
    def false_share(self) -> float:
        """False detections as a share of all that count."""
        return self.false / max(self.found + self.false, 1)


def main() -> None:
    """Print one line per input size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=DATA / "faces")
    given = parser.parse_args()
    for long_side in (LIVE_LONG_SIDE, STILL_LONG_SIDE):
        for precision in ("int8", "fp32"):
            seen = measure(given.folder, CenterFace(long_side, precision))
            print(
                f"long side {long_side} px, {precision}: {seen.found} of {seen.faces} faces ({seen.share:.1%}), "
                f"{seen.false} false ({seen.false_share:.1%})"
            )


def measure(folder: Path, detector: CenterFace) -> Recall:
    """What the detector finds in the pictures of `annotations.json`."""
    total = np.zeros(3, int)
    for picture in json.loads((folder / "annotations.json").read_text()):
        frame = cv2.imread(str(folder / picture["file"]), cv2.IMREAD_COLOR)
        if frame is None:
            raise FileNotFoundError(folder / picture["file"])
        found = detector(np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8))
        total += count(picture["faces"], found)
    return Recall(*total.tolist())


def count(faces: list[dict[str, object]], found: list[Detection]) -> tuple[int, int, int]:
    """Faces that count, those found and false detections of one picture; each detection serves one face at most."""
    boxes = np.array([face["box_xywh"] for face in faces], np.float32).reshape(-1, 4)
    asked = np.array([not face["difficult"] for face in faces], np.bool_) & (boxes[:, 2:].min(axis=1) >= LEAST_SIDE)
    overlap = iou(boxes, np.array([each.box_xywh for each in found], np.float32).reshape(-1, 4))
    meets = overlap >= np.where(asked, LEAST_OVERLAP, 0.3)[:, None]
    taken = np.zeros(len(found), np.bool_)
    hits = 0
    for row in np.concatenate([np.flatnonzero(asked), np.flatnonzero(~asked)]):
        free = np.flatnonzero(meets[row] & ~taken)
        if len(free):
            taken[free[0]] = True
            hits += bool(asked[row])
    return int(asked.sum()), hits, int((~taken).sum())


if __name__ == "__main__":
    main()
