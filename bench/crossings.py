"""How well people keep their numbers in made scenes of crossing people. `python -m bench.crossings [--half 0|1]`.

Half 0 of the people is to choose on, half 1 to report on. Scenes are written as H.264 once and kept in a cache; so are
the people cut out and what the detector finds in each picture, so that a change of the tracker is measured without it.
"""

import argparse
import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from bench.scenes import cutouts
from bench.scenes.scene import Scene, frames, scene
from bench.tracking import LEAST_VISIBLE, Boxes, Score, compare
from ingest.faces.detect import CenterFace, Detection, Shrunk
from ingest.faces.follow import Follower

SCENES = 24
LOW_RATE_SCENES = 6
LEAST_FACE = 14.0  # px of the picture that is searched: the detector does not claim smaller ones

Image = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Result:
    """What came out for one scene."""

    made: Scene
    score: Score
    minutes: float
    people: int  # reported


class KeptDetections:
    """A detector that remembers what it found in each picture, in memory and in a file."""

    def __init__(self, detector: CenterFace, path: Path) -> None:
        self.input_long_side = detector.input_long_side
        self._detector = detector
        self._path = path
        self._found: dict[str, list[list[float]]] = json.loads(path.read_text()) if path.exists() else {}
        self._held = len(self._found)

    def find(self, small: Shrunk) -> list[Detection]:
        """As `CenterFace.find`."""
        key = hashlib.blake2b(small.picture.tobytes(), digest_size=12).hexdigest() + f"-{small.step:.4f}"
        if key not in self._found:
            found = self._detector.find(small)
            self._found[key] = [
                [*each.box_xywh.tolist(), *each.landmarks.ravel().tolist(), each.score] for each in found
            ]
        return [
            Detection(np.array(row[:4], np.float32), np.array(row[4:14], np.float32).reshape(5, 2), row[14])
            for row in self._found[key]
        ]

    def save(self) -> None:
        """Write the file if anything is new."""
        if len(self._found) > self._held:
            self._path.write_text(json.dumps(self._found))
            self._held = len(self._found)


def main() -> None:
    """Print a line per scene and the percentiles."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--half", type=int, choices=(0, 1), default=1)
    parser.add_argument("--scenes", type=int, default=SCENES)
    parser.add_argument("--low-rate", action="store_true", help="four people at 1 to 2 frames per second")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "mien-crossings")
    given = parser.parse_args()
    count = min(given.scenes, LOW_RATE_SCENES) if given.low_rate else given.scenes
    made = [scene(number, given.half, low_rate=given.low_rate) for number in range(count)]
    results = [measure(each, given.half, given.low_rate, given.cache, Follower) for each in made]
    for each in results:
        print(line(each))
    print(summary(results))


def measure(
    made: Scene, half: int, low_rate: bool, folder: Path, new_follower: Callable[[CenterFace], Follower]
) -> Result:
    """The score of one scene."""
    name = f"{half}-{'low' if low_rate else 'usual'}-{made.number:03d}"
    clip = folder / f"{name}.mp4"
    if not clip.exists():
        write(made, clip, folder / "people")
    detector = KeptDetections(CenterFace(), folder / f"{name}.detections.json")
    follower = new_follower(detector)  # type: ignore[arg-type]
    reported: list[Boxes] = []
    for frame, time_s in zip(read(clip), made.times_s, strict=True):
        seen = follower.see(frame, round(time_s * 1e6))
        reported.append({each.person: each.box_xywh for each in seen})
    detector.save()
    truth = read_truth(clip.with_suffix(".json"), LEAST_FACE * max(made.size_wh) / detector.input_long_side)
    people = len({name for boxes in reported for name in boxes})
    return Result(made, compare(truth, reported), made.seconds / 60, people)


def write(made: Scene, clip: Path, people: Path) -> None:
    """Write the frames that are looked at as H.264, and the truth beside them as JSON."""

    @cache
    def person(name: str) -> cutouts.Person:
        kept = people / f"{name.replace('/', '_')}.npz"
        if not kept.exists():
            cutouts.save(cutouts.person(name), kept)
        return cutouts.load(kept)

    clip.parent.mkdir(parents=True, exist_ok=True)
    rows = []
    unfinished = clip.with_suffix(".part.mp4")
    with av.open(str(unfinished), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "24", "preset": "ultrafast", "threads": "1"})
        stream.width, stream.height, stream.pix_fmt = *made.size_wh, "yuv420p"
        for _, picture, truth in frames(made, person):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            rows.append([[each.person, each.visible, *map(float, each.box_xywh)] for each in truth])
        container.mux(stream.encode())
    clip.with_suffix(".json").write_text(json.dumps(rows))
    unfinished.rename(clip)


def read(clip: Path) -> Iterator[Image]:
    """The frames of a clip, (H, W, 3) u8 RGB."""
    with av.open(str(clip)) as container:
        for frame in container.decode(video=0):
            yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


def read_truth(path: Path, least_side: float) -> list[tuple[Boxes, Boxes]]:
    """For each frame the faces that count, and those too hidden or too small to count."""
    truth: list[tuple[Boxes, Boxes]] = []
    for rows in json.loads(path.read_text()):
        counted: Boxes = {}
        beside: Boxes = {}
        for person, visible, *box in rows:
            counts = visible >= LEAST_VISIBLE and min(box[2:]) >= least_side
            (counted if counts else beside)[person] = np.array(box, np.float32)
        truth.append((counted, beside))
    return truth


def line(result: Result) -> str:
    """One scene on a line."""
    made, score = result.made, result.score
    alike = " alike" if made.number % 4 == 1 else ""
    return (
        f"{made.number:3d}  {len(made.people)} people, {result.people} reported  {made.size_wh[0]}x{made.size_wh[1]}  "
        f"{made.hz:g} Hz  IDF1 {score.idf1:.3f}  switches {score.switches}  recall {score.recall:.3f}  "
        f"false {score.false}{alike}"
    )


def summary(results: list[Result]) -> str:
    """Median and tenth percentile of IDF1, switches per minute, and how many people were counted right."""
    idf1 = [each.score.idf1 for each in results]
    minutes = sum(each.minutes for each in results)
    switches = sum(each.score.switches for each in results) / minutes
    right = sum(each.people == len(each.made.people) for each in results)
    return (
        f"{len(results)} scenes: IDF1 median {np.median(idf1):.3f}, tenth percentile {np.percentile(idf1, 10):.3f}, "
        f"{switches:.1f} switches a minute, recall {np.mean([each.score.recall for each in results]):.3f}, "
        f"people counted right in {right}"
    )


if __name__ == "__main__":
    main()
