"""Every face of a stream in every frame: detection now and then, optical flow between, one number per person."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ingest.faces.align import DegenerateLandmarks, similarity
from ingest.faces.appearance import Look, looks
from ingest.faces.detect import CenterFace, Detection, Shrunk, iou, shrink
from ingest.faces.flow import motion
from ingest.faces.odds import cut_odds
from ingest.faces.track import Track, Tracker

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

SURE = 0.6  # share of a face's points that must agree, or the detector is asked
HIDDEN = 0.45  # what a face that another covers is believed of its flow, at most
COVERED = 0.15  # IoU with a nearer face from which a face counts as covered
SLIDE_US = 400_000  # between pictures: then a picture that changes around faces that stay is a slide show
STAYS = 0.45  # IoU from which a face stays in its place
LONGEST_US = 250_000  # between two detections: flow over longer steps loses faces that turn or cross
SPARE, REFILL = 8.0, 0.25  # detections out of turn: at most in a row, and earned per frame
OTHER_PICTURE = 0.08  # 1 - likeness from which a picture may be another one
SUDDEN = 10.0  # and so many times the largest change of late: people who walk change the picture all the time
FADING = 0.93  # per picture: of that largest change
DARK, LIT = 80.0, 200.0  # the brightest pixels of a dark picture, and what they are made
FLAT = 500.0  # a picture of one colour is like any other
CUT = 30.0  # mean difference of grey values from picture to picture that only a cut makes

DETECT_EVERY = 5  # frames; IDF1 on crossing_people 0.841, 0.954, 0.935, 0.936 with 3, 5, 6, 8


@dataclass(slots=True)
class SeenFace:
    """One face in the frame at hand, in pixels of the frame."""

    track: int
    person: int  # 1, 2, … in order of first appearance in the session
    box_xywh: Floats  # (4,)
    landmarks: Floats  # (5, 2): left eye, right eye, nose, mouth corners, as seen in the picture
    score: float  # the detector's, times the share of points that flow followed since


class Follower:
    """Follows the faces of one session.

    A face that surely is one is a person from its first detection; a likely one must be found twice, and a fair one
    for a second (`track.Proof`): it is reported from then on. In a still picture, once is enough.

    The detector looks at every `detect_every`-th frame or a quarter of a second after its last look, and at once when
    the picture cuts, when flow loses a face or when a weak one has turned up; of these last two, one in four frames in
    the long run.
    """

    def __init__(self, detector: CenterFace, *, detect_every: int = DETECT_EVERY, still: bool = False) -> None:
        self._still = still
        self._detector = detector
        self._every = detect_every
        self.reset()

    def reset(self) -> None:
        """Forget everybody: a new session begins."""
        self._tracker = Tracker(still=self._still)
        self._before: NDArray[np.uint8] | None = None
        self._shape: tuple[int, ...] = ()
        self._since = 0  # frames since the last detection
        self._looked_us = 0
        self._last_change = 0.0
        self._seen_us = 0  # time of the last picture
        self._change, self._pictures = 0.0, 0  # the largest change of late from picture to picture; how many were seen
        self._spare = SPARE  # detections out of turn that may still be made
        self.detections = 0  # frames searched by the detector in this session

    def see(self, frame_rgb: Image, media_time_us: int) -> list[SeenFace]:
        """The faces in this frame; times must not go back within a session."""
        small = shrink(frame_rgb, self._detector.input_long_side)
        grey = np.asarray(cv2.cvtColor(small.picture, cv2.COLOR_RGB2GRAY), np.uint8)
        cut = self._cuts(grey, frame_rgb.shape)
        hurry = not cut and self._move(grey, small.step, media_time_us)
        self._since += 1
        self._spare = min(self._spare + REFILL, SPARE)
        due = self._since >= self._every or media_time_us - self._looked_us >= LONGEST_US
        if cut or due or (hurry and self._spare >= 1):
            self._spare -= not cut and not due
            self._detect(small, media_time_us)
        self._before, self._seen_us = grey, media_time_us
        return [
            SeenFace(each.number, each.person, each.box, each.landmarks, each.score * each.sure)
            for each in self._tracker.live
            if each.confirmed
        ]

    def _cuts(self, grey: NDArray[np.uint8], shape: tuple[int, ...]) -> bool:
        """Whether this picture does not continue the last one; then everybody is out of sight."""
        before, same_size = self._before, self._shape == shape
        self._shape = shape
        if before is not None and same_size:
            change = self._last_change = 1.0 - likeness(before, grey)
            sudden = self._pictures > 1 and change > max(OTHER_PICTURE, SUDDEN * self._change)
            if _difference(before, grey) <= CUT and not sudden:
                self._change, self._pictures = max(change, FADING * self._change), self._pictures + 1
                return False
        self._tracker.cut()
        return True

    def _move(self, grey: NDArray[np.uint8], step: float, time_us: int) -> bool:
        """Move the live tracks to this picture; True: the detector should look now."""
        assert self._before is not None
        for track in self._tracker.live:
            moved = motion(self._before, grey, step, track.box, track.landmarks)
            track.sure = moved.sure
            if moved.sure >= SURE:
                track.followed_us = time_us
            if moved.sure > 0:
                track.box, track.landmarks = moved.box(track.box), moved.points(track.landmarks)
        for each in hidden(self._tracker.live):
            each.sure, each.followed_us = min(each.sure, HIDDEN), 0
        return any(each.sure < SURE or each.misses or not each.confirmed for each in self._tracker.live)

    def _detect(self, small: Shrunk, time_us: int) -> None:
        self._since, self._looked_us = 0, time_us
        self.detections += 1
        found = [each for each in self._detector.find(small) if _spans_a_face(each)]
        boxes = np.array([each.box_xywh for each in found], np.float32).reshape(-1, 4)
        width, height = small.size_wh
        seen = looks(lit(small.picture[:height, :width]), boxes / np.float32(small.step))
        slide = self._last_change > OTHER_PICTURE and time_us - self._seen_us >= SLIDE_US
        if slide and replaced(self._tracker.live, boxes, seen):
            self._tracker.cut()
        self._tracker.update(found, seen, time_us, width * small.step)


def lit(picture_rgb: Image) -> Image:
    """Return a dark picture brighter, so that its colours differ; any other as it is."""
    brightest = float(np.partition(picture_rgb[::4, ::4].ravel(), -50)[-50]) if picture_rgb.size > 10_000 else 255.0
    if brightest >= DARK:
        return picture_rgb
    return np.asarray(cv2.convertScaleAbs(picture_rgb, alpha=min(LIT / max(brightest, 1.0), 8.0)), np.uint8)


def replaced(tracks: list[Track], boxes_xywh: Floats, seen: list[Look]) -> bool:
    """Return whether each track has one face (n, 4) in its place, and each of these faces looks like another's."""
    if not tracks or len(tracks) != len(boxes_xywh):
        return False
    overlap = iou(np.stack([each.box for each in tracks]), boxes_xywh)
    nearest = overlap.argmax(axis=1)
    others = [cut_odds(track.look, seen[i], 1) < 0 for track, i in zip(tracks, nearest, strict=True)]
    return len(set(nearest.tolist())) == len(tracks) and bool((overlap.max(axis=1) > STAYS).all()) and all(others)


def likeness(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> float:
    """Return the correlation of two grey pictures at 32×18 px: 1 if only brightness and contrast differ."""
    one, other = (
        cv2.resize(each, (32, 18), interpolation=cv2.INTER_AREA).astype(np.float32) for each in (before, after)
    )
    one, other = one - one.mean(), other - other.mean()
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float((one * other).sum()) / lengths if lengths > FLAT else 1.0


def hidden(tracks: list[Track]) -> list[Track]:
    """Return the tracks that a nearer face (lower chin, larger) covers in part: flow would follow the nearer one."""
    if len(tracks) < 2:
        return []
    boxes = np.stack([each.box for each in tracks])
    nearness = boxes[:, 1] + 2 * boxes[:, 3]
    covered = (iou(boxes, boxes) > COVERED) & (nearness[:, None] < nearness[None, :])
    return [tracks[i] for i in np.flatnonzero(covered.any(axis=1))]


def _difference(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> float:
    return float(cv2.norm(before, after, cv2.NORM_L1)) / after.size


def _spans_a_face(found: Detection) -> bool:
    try:
        similarity(found.landmarks)
    except DegenerateLandmarks:
        return False
    return True
