"""Who is who from picture to picture: tracks of faces, and the people to whom they belong.

Detections meet tracks in two rounds as in ByteTrack (Zhang et al. 2022, arXiv 2110.06864): first the strong ones,
then the weak ones, which are often faces half hidden. Differs: tracks are moved by optical flow where there is some;
place, size and colours are added as odds (`odds`), the same for a track that goes on and for a person who returns.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ingest.faces.appearance import Look
from ingest.faces.assign import matched
from ingest.faces.detect import Detection, centre_of
from ingest.faces.odds import Expected, colour_odds, cut_odds, place_odds

Floats = NDArray[np.float32]

STRONG = 0.5  # scores from here on make the first round
BIRTH = 0.35  # scores from here on begin a track
SURE_FACE, LIKELY_FACE = 0.75, 0.68  # hats, hands and backs of heads reach 0.70 in one frame, and seldom twice
LASTING_US = 1_000_000  # a turning head that shows no face is fairly like one for 0.7 s at most
LASTING_SHARE = 1 / 3  # of the detections since then: the back of a head that keeps still reaches 0.5 now and then
GOES_ON = 1.0  # odds from which a detection is a track's face
SAME = -1.5  # and from which a new track is a person who was here before: that is more usual than a new person
SURELY_BACK = 3.0  # and from which one sighting is enough
PATIENCE = 2  # detections in a row that may miss a face that flow still follows
SPEED_GAIN = 0.4  # share of a new speed in the old one
COASTING_S = 1.0  # the speed of a lost face is believed for this long
REMEMBERED = 64  # people out of sight, the latest


@dataclass(frozen=True, slots=True)
class Proof:
    """What makes a track a new person: so many detections of such a score, and for how long it has had them."""

    score: float
    detections: int
    over_us: int = 0  # since the first of them
    share: float = 0.0  # of the detections since the first of them


@dataclass(frozen=True, slots=True)
class Count:
    """How many detections of a track reach a score."""

    number: int
    first_us: int  # time of the first
    before: int  # detections of the track before it


_LASTING = Proof(
    STRONG, 3, LASTING_US, LASTING_SHARE
)  # three, so that people who are looked at once per second are born
BORN_CLEAR = (Proof(SURE_FACE, 1), Proof(LIKELY_FACE, 2), _LASTING)
BORN = (Proof(LIKELY_FACE, 3), _LASTING)  # who it is shows better a moment later, when more of the face has come out
BORN_IN_STILL = (Proof(STRONG, 1),)  # a still picture has no second frame


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
    followed_us: int = 0  # until when flow followed the face without a break
    misses: int = 0
    hits: int = 1  # detections so far
    counts: dict[float, Count] = field(default_factory=dict)  # of the detections that reach a score

    @property
    def confirmed(self) -> bool:
        """Whether it is reported."""
        return self.person > 0

    def proves(self, proof: Proof) -> bool:
        """Whether the detections so far are what the proof wants."""
        count = self.counts.get(proof.score)
        if count is None or count.number < proof.detections:
            return False
        lasts = self.detected_us - count.first_us >= proof.over_us
        return lasts and count.number >= proof.share * (self.hits - count.before)

    def note(self, score: float, time_us: int) -> None:
        """Count the latest detection, which `hits` has counted."""
        self.score = score
        for level in (STRONG, LIKELY_FACE, SURE_FACE):
            if score >= level:
                count = self.counts.get(level, Count(0, time_us, self.hits - 1))
                self.counts[level] = Count(count.number + 1, count.first_us, count.before)

    @property
    def size(self) -> float:
        """Root of the area of the box, px."""
        return float(np.sqrt(max(self.box[2] * self.box[3], 1.0)))

    def expected(self, time_us: int) -> Expected:
        """Where the face should be now: where flow saw it go, or where its speed took it."""
        unseen_s = (time_us - self.detected_us) / 1e6
        if self.followed_us == time_us:
            return Expected(centre_of(self.box), self.size, unseen_s, True, True)
        place = self.centre + self.speed * np.float32(min(unseen_s, COASTING_S))
        return Expected(place, self.size, unseen_s, self.hits > 1, False)


class Tracker:
    """Live tracks, lost people, and the numbers given to both in one session.

    Args:
        still: the session is one picture: a face of it is a person at once.
    """

    def __init__(self, *, still: bool = False) -> None:
        self._still = still
        self.live: list[Track] = []
        self._lost: dict[int, Track] = {}  # by person, the last track of each person not in sight
        self._elsewhere: set[int] = set()  # people last seen before a cut: their places mean nothing
        self._tracks = 0
        self._people = 0
        self._opening = True  # the first picture

    def update(self, detections: list[Detection], looks: list[Look], time_us: int, frame_width: float) -> None:
        """Take the detections of a picture in.

        Args:
            detections: of the picture.
            looks: of each detection.
            time_us: of the picture; live tracks whose `followed_us` it is are where flow saw them in it.
            frame_width: px.
        """
        unmatched: list[int] = []
        waiting = list(self.live)
        for strong in (True, False):
            some = [i for i, each in enumerate(detections) if (each.score >= STRONG) == strong]
            worth = np.array(
                [[self._odds(track, detections[i], looks[i], time_us, frame_width) for i in some] for track in waiting]
            ).reshape(len(waiting), len(some))
            pairs = matched(worth - GOES_ON)
            for row, column in pairs:
                self._follow(waiting[row], detections[some[column]], looks[some[column]], time_us)
            waiting = [each for row, each in enumerate(waiting) if row not in {row for row, _ in pairs}]
            unmatched += [i for column, i in enumerate(some) if column not in {column for _, column in pairs}]
        for track in waiting:
            track.misses += 1
            if not track.confirmed or track.misses > PATIENCE or track.sure < 0.5:
                self.lose(track)
        for i in sorted(unmatched):
            if detections[i].score >= BIRTH:
                self._begin(detections[i], looks[i], time_us)
        self._name(time_us, frame_width)
        self._opening = False

    def lose(self, track: Track) -> None:
        """The face is out of sight; its person may return."""
        self.live.remove(track)
        if track.confirmed:
            self._lost[track.person] = track
        while len(self._lost) > REMEMBERED:
            del self._lost[next(iter(self._lost))]

    def cut(self) -> None:
        """Everybody is out of sight, and where they were means nothing any more."""
        for track in list(self.live):
            self.lose(track)
        self._elsewhere = set(self._lost)

    def _odds(self, track: Track, seen: Detection, look: Look, time_us: int, frame_width: float) -> float:
        """Whether a detection is a live track's face."""
        size = float(np.sqrt(max(seen.box_xywh[2] * seen.box_xywh[3], 1.0)))
        odds = place_odds(track.expected(time_us), centre_of(seen.box_xywh), size, frame_width)
        odds += colour_odds(track.look, look)
        return odds

    def _follow(self, track: Track, seen: Detection, look: Look, time_us: int) -> None:
        """The detection is the track's face."""
        centre = centre_of(seen.box_xywh)
        passed_s = max((time_us - track.detected_us) / 1e6, 1e-3)
        gain = np.float32(SPEED_GAIN if track.hits > 1 else 1.0)
        track.speed = track.speed + gain * ((centre - track.centre) / np.float32(passed_s) - track.speed)
        track.centre, track.detected_us, track.followed_us = centre, time_us, time_us
        track.box, track.landmarks = seen.box_xywh, seen.landmarks
        track.misses, track.sure = 0, 1.0
        track.look = track.look.blended(look, 0.1 if track.look.clear else 0.5)
        track.hits += 1
        track.note(seen.score, time_us)

    def _begin(self, seen: Detection, look: Look, time_us: int) -> None:
        """A face that no track expected."""
        self._tracks += 1
        centre = centre_of(seen.box_xywh)
        track = Track(self._tracks, 0, seen.box_xywh, seen.landmarks, seen.score, look, time_us, centre)
        track.followed_us = time_us
        track.note(seen.score, time_us)
        self.live.append(track)

    def _name(self, time_us: int, frame_width: float) -> None:
        """Give the tracks that nobody owns to the people who return, and new people to those that are believed."""
        nameless = [each for each in self.live if not each.confirmed]
        lost = list(self._lost.values())
        worth = np.array([[self._returns(person, each, time_us, frame_width) for person in lost] for each in nameless])
        worth = worth.reshape(len(nameless), len(lost))
        returned = dict(matched(worth - SAME))
        for row, track in enumerate(nameless):
            clear = track.look.clear or self._opening  # nobody is there yet with whom it could be confused
            real = any(track.proves(each) for each in (BORN_IN_STILL if self._still else BORN_CLEAR if clear else BORN))
            if row in returned and (real or worth[row, returned[row]] >= SURELY_BACK):
                self._return(track, lost[returned[row]])
            elif real:
                self._people += 1
                track.person = self._people

    def _return(self, track: Track, lost: Track) -> None:
        track.person = self._lost.pop(lost.person).person
        track.look = lost.look.blended(track.look, 0.3)
        self._elsewhere.discard(track.person)

    def _returns(self, lost: Track, track: Track, time_us: int, frame_width: float) -> float:
        """Whether a track without a name is a person who was lost."""
        if lost.person in self._elsewhere:
            return SAME + cut_odds(lost.look, track.look, len(self._lost))
        odds = place_odds(lost.expected(time_us), track.centre, track.size, frame_width)
        odds += colour_odds(lost.look, track.look)
        return odds
