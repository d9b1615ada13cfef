"""Who is who from picture to picture: tracks of faces, and the people to whom they belong.

Detections meet tracks in two rounds as in ByteTrack (Zhang et al. 2022, arXiv 2110.06864): first the strong ones,
then the weak ones, which are often faces half hidden. Differs: tracks are moved by optical flow where there is some;
colours of the person take part; people who left are known again when they return.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ingest.faces.appearance import Look
from ingest.faces.detect import Detection, centre_of, iou

Floats = NDArray[np.float32]

STRONG = 0.5  # scores from here on make the first round
BIRTH = 0.35  # scores from here on begin a track
BELIEVED_CLEAR = ((0.6, 1), (0.5, 2))  # (score, detections) from which a track is a person
BELIEVED_AT_FIRST = ((STRONG, 1),)  # a still picture has no second frame
BELIEVED = ((0.7, 1), (0.5, 4))  # who it is shows better a moment later, when more of the face has come out
LEAST_OVERLAP = 0.25  # IoU of a track's expected box and a detection
LOOK_WEIGHT = 0.6  # cost of quite different colours, in units of IoU
PATIENCE = 2  # detections in a row that may miss a face that flow still follows
SPEED_GAIN = 0.4  # share of a new speed in the old one
COASTING_S = 1.0  # the speed of a lost face is believed for this long
OTHER_LOOK = 0.6  # a face with colours farther than this is not the one expected
LEAST_SHARE = 0.2  # of what there is to see that two looks must both show
SAME_LOOK = 0.36  # colours nearer than this are the same person's, when nobody else comes near
SAME_PLACE_LOOK = 0.52  # and nearer than this where the person was expected
DOUBT = 1.2  # colours of a face at the edge or beside another may be this much farther
AGEING = 0.02  # per second of absence
REMEMBERED = 64  # people out of sight, the latest


@dataclass(slots=True)
class Track:
    """One face, followed."""

    number: int
    person: int  # 0: not confirmed yet
    box: Floats  # (4,) px of the frame, where the face is now
    landmarks: Floats  # (5, 2)
    score: float
    look: Look
    detected_us: int  # last detection
    centre: Floats  # (2,) of the last detection
    speed: Floats = field(default_factory=lambda: np.zeros(2, np.float32))  # px/s
    sure: float = 1.0  # of the flow since the last picture
    misses: int = 0
    hits: int = 1  # detections so far
    best: float = 0.0  # score so far

    @property
    def confirmed(self) -> bool:
        """Whether it is reported."""
        return self.person > 0


class Tracker:
    """Live tracks, lost people, and the numbers given to both in one session."""

    def __init__(self) -> None:
        self.live: list[Track] = []
        self._lost: dict[int, Track] = {}  # by person, the last track of each person not in sight
        self._tracks = 0
        self._people = 0
        self._opening = True  # the first picture

    def update(self, detections: list[Detection], looks: list[Look], time_us: int) -> None:
        """Take the detections of a picture in; the boxes of live tracks are already where they are expected in it."""
        strong = [i for i, each in enumerate(detections) if each.score >= STRONG]
        weak = [i for i, each in enumerate(detections) if each.score < STRONG]
        waiting = list(self.live)
        unmatched: list[int] = []
        for round_ in (strong, weak):
            pairs = self._pairs(waiting, [detections[i] for i in round_], [looks[i] for i in round_])
            for row, column in pairs:
                self._follow(waiting[row], detections[round_[column]], looks[round_[column]], time_us)
            waiting = [each for row, each in enumerate(waiting) if row not in {row for row, _ in pairs}]
            unmatched += [i for column, i in enumerate(round_) if column not in {column for _, column in pairs}]
        for track in waiting:
            track.misses += 1
            if not track.confirmed or track.misses > PATIENCE or track.sure < 0.5:
                self.lose(track)
        for i in sorted(unmatched):
            if detections[i].score >= BIRTH:
                self._begin(detections[i], looks[i], time_us)
        self._opening = False

    def lose(self, track: Track) -> None:
        """The face is out of sight; its person may return."""
        self.live.remove(track)
        if track.confirmed:
            self._lost[track.person] = track
        while len(self._lost) > REMEMBERED:
            del self._lost[next(iter(self._lost))]

    def _pairs(self, tracks: list[Track], detections: list[Detection], looks: list[Look]) -> list[tuple[int, int]]:
        """Which track goes on with which detection, at the least cost in all."""
        if not tracks or not detections:
            return []
        overlap = iou(np.stack([each.box for each in tracks]), np.stack([each.box_xywh for each in detections]))
        cost = 1.0 - overlap.astype(np.float64)
        for row, track in enumerate(tracks):
            for column, look in enumerate(looks):
                if overlap[row, column] >= LEAST_OVERLAP:
                    apart, share = track.look.distance(look)
                    cost[row, column] += (
                        LOOK_WEIGHT * apart * share if apart < OTHER_LOOK or share < LEAST_SHARE else np.inf
                    )
        cost[overlap < LEAST_OVERLAP] = np.inf
        return assign(cost)

    def _follow(self, track: Track, seen: Detection, look: Look, time_us: int) -> None:
        """The detection is the track's face."""
        centre = centre_of(seen.box_xywh)
        passed_s = max((time_us - track.detected_us) / 1e6, 1e-3)
        track.speed = track.speed + np.float32(SPEED_GAIN) * (
            (centre - track.centre) / np.float32(passed_s) - track.speed
        )
        track.centre, track.detected_us = centre, time_us
        track.box, track.landmarks, track.score = seen.box_xywh, seen.landmarks, seen.score
        track.misses, track.sure = 0, 1.0
        track.look = track.look.blended(look, 0.1 if track.look.clear else 0.5)
        track.hits += 1
        self._confirm(track, time_us)

    def _begin(self, seen: Detection, look: Look, time_us: int) -> None:
        """A face that no track expected."""
        self._tracks += 1
        centre = centre_of(seen.box_xywh)
        track = Track(self._tracks, 0, seen.box_xywh, seen.landmarks, seen.score, look, time_us, centre)
        self._confirm(track, time_us)
        self.live.append(track)

    def _confirm(self, track: Track, time_us: int) -> None:
        """Give the track a person once enough was seen of the face."""
        track.best = max(track.best, track.score)
        believed = BELIEVED_AT_FIRST if self._opening else BELIEVED_CLEAR if track.look.clear else BELIEVED
        if not track.confirmed and any(track.best >= score and track.hits >= hits for score, hits in believed):
            track.person = self._person(track, time_us)

    def _person(self, track: Track, time_us: int) -> int:
        """The person who returns with this track, or a new one."""
        fitting = [each for each in self._lost.values() if self._strangeness(each, track, time_us) < 1.0]
        if fitting:  # of two alike the one who left later
            best = min(
                fitting,
                key=lambda each: self._strangeness(each, track, time_us) + AGEING * (time_us - each.detected_us) / 1e6,
            )
            return self._lost.pop(best.person).person
        self._people += 1
        return self._people

    def _strangeness(self, lost: Track, track: Track, time_us: int) -> float:
        """Below 1: may well be the same person."""
        apart, share = lost.look.distance(track.look)
        away_s = (time_us - lost.detected_us) / 1e6
        expected = lost.centre + lost.speed * np.float32(min(away_s, COASTING_S))
        distance = float(np.linalg.norm(track.centre - expected)) / float(lost.box[2:].mean())
        scale = float(np.sqrt(track.box[2:].prod() / max(lost.box[2:].prod(), 1.0)))
        near = distance < 1.0 + away_s and 0.6 < scale < 1.7 and away_s < 3.0
        if share < LEAST_SHARE:
            return 0.9 + 0.1 * distance if near and distance < 1.0 else 2.0
        doubt = 1.0 if lost.look.clear and track.look.clear else DOUBT
        return apart / doubt / (SAME_PLACE_LOOK if near else SAME_LOOK)


def assign(cost: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Pairs (row, column) of least total cost with as many pairs as can be; infinite entries are never paired.

    Source: the Hungarian method by shortest augmenting paths (Jonker & Volgenant 1987), one row at a time.
    """
    rows, columns = cost.shape
    if rows > columns:
        return sorted((row, column) for column, row in assign(cost.T))
    finite = cost[np.isfinite(cost)]
    if not len(finite):
        return []
    never = 1.0 + 2.0 * (rows + 1) * float(np.abs(finite).max() + 1.0)
    full = np.where(np.isfinite(cost), cost, never)
    row_price, column_price = np.zeros(rows), np.zeros(columns + 1)
    owner = np.full(columns + 1, -1)  # of each column; the last one is where a path begins
    for row in range(rows):
        owner[columns] = row
        column, distance, before = columns, np.full(columns, np.inf), np.full(columns, columns)
        done = np.zeros(columns + 1, np.bool_)
        while owner[column] >= 0:
            done[column] = True
            here = owner[column]
            step = full[here] - row_price[here] - column_price[:columns]
            better = ~done[:columns] & (step < distance)
            distance[better], before[better] = step[better], column
            open_ = np.where(done[:columns], np.inf, distance)
            nearest = int(open_.argmin())
            least = open_[nearest]
            row_price[owner[done]] += least
            column_price[done] -= least
            distance[~done[:columns]] -= least
            column = nearest
        while column != columns:
            owner[column] = owner[before[column]]
            column = int(before[column])
    pairs = [(int(owner[column]), column) for column in range(columns) if owner[column] >= 0]
    return sorted((row, column) for row, column in pairs if np.isfinite(cost[row, column]))
