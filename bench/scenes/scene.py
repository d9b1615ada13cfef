"""A scene: who is in it, where everybody is at each moment, what the camera sees, and the truth about it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.scenes.cutouts import FACE_HEIGHT, Person, Pose, names
from bench.scenes.paths import Path, walk

SIZES = ((640, 360), (480, 270), (960, 540), (640, 480))
RATES = ((25.0, None), (30.0, None), (25.0, 12.5), (15.0, None), (25.0, 5.0), (10.0, None), (5.0, None), (25.0, None))
"""Frames per second of the clip and of those looked at; None: all."""
LOW_RATES = ((25.0, 1.0), (25.0, 2.0), (30.0, 1.5))
SHIRTS = ((200, 60, 60), (70, 90, 190), (60, 150, 80), (210, 170, 60), (60, 60, 65), (150, 80, 160), (120, 120, 125))

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Truth:
    """One face in one frame."""

    person: int
    box_xywh: Floats  # (4,) px
    visible: float  # share of the face that is in the frame and that nobody nearer hides


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything about a clip but its pixels."""

    number: int
    size_wh: tuple[int, int]
    fps: float
    sample_hz: float | None
    seconds: float
    people: tuple[str, ...]
    shirts: tuple[int | None, ...]  # of `SHIRTS`; None: as photographed
    paths: tuple[Path, ...]
    pillar: bool  # something stands in front of everybody
    pans: bool

    @property
    def hz(self) -> float:
        """Frames looked at per second."""
        return min(self.sample_hz or self.fps, self.fps)

    @property
    def times_s(self) -> list[float]:
        """Of the frames that are looked at: as the sampler takes them out of the clip."""
        frames = [number / self.fps for number in range(round(self.seconds * self.fps))]
        if self.sample_hz is None:
            return frames
        taken, times = -1, list[float]()
        for time_s in frames:
            if int((time_s + 1e-3) * self.sample_hz) > taken:
                taken, times = int((time_s + 1e-3) * self.sample_hz), [*times, time_s]
        return times


def scene(number: int, half: int, *, low_rate: bool = False) -> Scene:
    """The scene of this number with people of one half; the same for the same arguments."""
    random = np.random.default_rng((number, half, low_rate))
    fps, sample_hz = LOW_RATES[number % len(LOW_RATES)] if low_rate else RATES[number % len(RATES)]
    size_wh = SIZES[number // 2 % len(SIZES)]
    count = 4 if low_rate else int(2 + (number * 3) % 7)
    seconds = 24.0 if low_rate else 8.0 if (sample_hz or fps) >= 10 else 14.0
    chosen = random.permutation(names(half))[:count]
    alike = number % 4 == 1
    shirts = [int(each) for each in random.integers(0, len(SHIRTS), count)]
    sizes = np.exp(random.uniform(np.log(0.11), np.log(0.26), count)) * size_wh[1] * (0.85 if count > 5 else 1.0)
    first = int(random.integers(0, 5))
    return Scene(
        number=number,
        size_wh=size_wh,
        fps=fps,
        sample_hz=sample_hz,
        seconds=seconds,
        people=tuple(str(each) for each in chosen),
        shirts=tuple(shirts[0] if alike else shirt if random.random() < 0.6 else None for shirt in shirts),
        paths=tuple(walk(random, size_wh, seconds, float(size), first + k) for k, size in enumerate(sizes)),
        pillar=number % 5 == 3,
        pans=number % 3 == 2,
    )


def frames(made: Scene, person: Callable[[str], Person]) -> Iterator[tuple[float, Image, list[Truth]]]:
    """Time in seconds, picture (H, W, 3) u8 RGB and truth of each frame that is looked at.

    Args:
        made: what to show.
        person: gives the cut-outs of a name.
    """
    random = np.random.default_rng((made.number, 7))
    actors = [
        _Actor(person(name), i, shirt, float(path.sizes.max()), made.size_wh[1])
        for i, (name, shirt, path) in enumerate(zip(made.people, made.shirts, made.paths, strict=True))
    ]
    wall, light = _wall(random, made.size_wh), random.uniform(-0.12, 0.12)
    grain = np.clip(random.normal(6, 2.0, (made.size_wh[1], made.size_wh[0] + 64, 3)), 0, 12).astype(np.uint8)
    for time_s in made.times_s:
        pan = 0.06 * made.size_wh[0] * np.sin(2 * np.pi * 0.12 * time_s) if made.pans else 0.0
        shift = round(made.size_wh[0] * 0.1 + pan)
        canvas = wall[:, shift : shift + made.size_wh[0]].copy()
        owner = np.full(canvas.shape[:2], -1, np.int16)
        faces: dict[int, Floats] = {}
        places = [path.at(time_s) for path in made.paths]
        for i in sorted(range(len(actors)), key=lambda k: places[k][1]):  # the smaller is farther away
            (x, y), size, roll = places[i]
            brighter = 1.0 + light * (2 * x / made.size_wh[0] - 1)
            faces[i] = actors[i].draw(canvas, owner, time_s, (x - pan, y), size, roll, brighter)
        if made.pillar:
            left = round(0.45 * made.size_wh[0] - pan)
            canvas[:, left : left + made.size_wh[0] // 14] = (92, 96, 90)
            owner[:, left : left + made.size_wh[0] // 14] = -2
        offset = int(random.integers(0, 64))
        canvas = np.asarray(cv2.add(canvas, grain[:, offset : offset + made.size_wh[0]]), np.uint8)
        truth = [Truth(i, box, _visible(owner, i, box)) for i, box in faces.items()]
        yield time_s, canvas, [each for each in truth if each.visible > 0]


class _Actor:
    """A person in a scene: cut-outs in the scene's clothes and size, the body continued downwards."""

    def __init__(self, shown: Person, number: int, shirt: int | None, largest: float, frame_height: int) -> None:
        self._number, self._talks = number, shown.talks
        self._step = min(1.0, 1.1 * largest / FACE_HEIGHT)
        self._poses = [self._prepared(_dressed(pose, shirt), frame_height) for pose in shown.poses]
        self._faces = [pose.face_xywh * np.float32(self._step) for pose in shown.poses]

    def _prepared(self, rgba: Image, frame_height: int) -> Image:
        small = cv2.resize(rgba, None, fx=self._step, fy=self._step, interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.copyMakeBorder(small, 0, 2 * frame_height, 0, 0, cv2.BORDER_REPLICATE), np.uint8)

    def _pose(self, time_s: float) -> int:
        """The frame of a clip, back and forth, or one of the photographs for two seconds each."""
        count = len(self._poses)
        if not self._talks:
            return int(time_s / 2.0 + 0.7 * self._number) % count
        step = int(time_s * 12.5) % max(2 * count - 2, 1)
        return step if step < count else 2 * count - 2 - step

    def draw(
        self,
        canvas: Image,
        owner: NDArray[np.int16],
        time_s: float,
        place_xy: tuple[float, float],
        size: float,
        roll: float,
        brighter: float,
    ) -> Floats:
        """Lay the person over the canvas, note whose pixels they are, and return the box of the face, (4,) px."""
        which = self._pose(time_s)
        rgba, face = self._poses[which], self._faces[which]
        middle = (float(face[0] + face[2] / 2), float(face[1] + face[3] / 2))
        matrix = np.asarray(cv2.getRotationMatrix2D(middle, -roll, size / float(face[3])), np.float64)
        matrix[:, 2] += np.array(place_xy) - middle
        size_wh = canvas.shape[1::-1]
        corners = np.array([(x, y, 1) for x in (0, rgba.shape[1]) for y in (0, rgba.shape[0])]) @ matrix.T
        low = np.clip(corners.min(axis=0) - 1, 0, size_wh).astype(int)
        high = np.clip(corners.max(axis=0) + 1, low, size_wh).astype(int)
        half = np.array([face[2] / face[3] * size, size]) / 2
        box = np.array([*(np.array(place_xy) - half), *(2 * half)], np.float32)
        if (high > low).all():
            part = (slice(low[1], high[1]), slice(low[0], high[0]))
            matrix = np.column_stack([matrix[:, :2], matrix[:, 2] - low])
            layer = cv2.warpAffine(rgba, matrix, (high - low).tolist(), flags=cv2.INTER_LINEAR)
            mask = np.asarray(cv2.inRange(layer[..., 3], 128, 255), np.uint8)
            lit = cv2.convertScaleAbs(cv2.cvtColor(layer, cv2.COLOR_RGBA2RGB), alpha=brighter)
            canvas[part] = cv2.copyTo(lit, mask, canvas[part].copy())
            owner[part][mask > 0] = self._number
        return box


def _dressed(pose: Pose, shirt: int | None) -> Image:
    """The cut-out (h, w, 4) in another shirt: the clothes' brightness in its colour."""
    if shirt is None or not pose.clothes.any():
        return pose.rgba
    rgba = pose.rgba.copy()
    grey = rgba[..., :3][pose.clothes].mean(axis=1).astype(np.float32)
    coloured = (grey / max(float(np.median(grey)), 20.0))[:, None] * np.array(SHIRTS[shirt], np.float32)
    rgba[pose.clothes, :3] = np.clip(coloured, 0, 255).astype(np.uint8)
    return rgba


def _visible(owner: NDArray[np.int16], number: int, box: Floats) -> float:
    """The share of the ellipse in a face's box whose pixels are the person's."""
    centre, half = box[:2] + box[2:] / 2, box[2:] / 2
    low = np.clip(np.floor(centre - half), 0, owner.shape[::-1]).astype(int)
    high = np.clip(np.ceil(centre + half), low, owner.shape[::-1]).astype(int)
    rows, columns = np.mgrid[low[1] : high[1], low[0] : high[0]]
    inside = ((columns + 0.5 - centre[0]) / half[0]) ** 2 + ((rows + 0.5 - centre[1]) / half[1]) ** 2 <= 1
    seen = inside & (owner[low[1] : high[1], low[0] : high[0]] == number)
    return min(float(seen.sum()) / float(np.pi * half.prod()), 1.0)


def _wall(random: np.random.Generator, size_wh: tuple[int, int]) -> Image:
    """A background wider than the frame: soft spots and a few furniture-like boxes in muted colours."""
    width, height = round(size_wh[0] * 1.2) + 2, size_wh[1]
    coarse = random.uniform(60, 190, (5, 9, 3)) * 0.4 + random.uniform(70, 150, 3) * 0.6
    wall = cv2.resize(coarse.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(int(random.integers(0, 7))):
        x, y = int(random.uniform(0, width)), int(random.uniform(0, height))
        w, h = int(random.uniform(0.03, 0.2) * width), int(random.uniform(0.1, 0.5) * height)
        wall[y : y + h, x : x + w] = wall[y : y + h, x : x + w] * 0.5 + random.uniform(20, 110, 3)
    return np.clip(cv2.GaussianBlur(wall, (0, 0), 1.2), 0, 255).astype(np.uint8)
