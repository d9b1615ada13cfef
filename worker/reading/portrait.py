"""The small picture on a person's card, only where the source keeps pictures."""

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

import cv2
import numpy as np

from contract.records import Crop, Face, Record, SessionOpened
from worker.reading.crops import UnreadableCrop, pixels, resized

EDGE = 96  # px
JPEG_QUALITY = 85
MARGIN = 1.2  # a new picture must be this many times better
PER_PERSON = 16
REMEMBERED = 4096  # people and sessions; one forgotten is asked for or offered again

K = TypeVar("K")
V = TypeVar("V")


class Portraits:
    """Chooses the few faces that are worth keeping as their person's picture.

    Remembers in memory only; after a restart a person may be offered again, which the store settles by quality.

    Args:
        keeps_pictures: what the store knows of a (source, session) that was opened before this worker started.
    """

    def __init__(self, keeps_pictures: Callable[[str, str], bool]) -> None:
        self._ask = keeps_pictures
        self._kept: OrderedDict[tuple[str, str], bool] = OrderedDict()  # session -> may pictures be kept
        self._best: OrderedDict[str, tuple[float, int]] = OrderedDict()  # person -> (quality, pictures so far)

    def of(self, record: Record, crop: Crop | None = None) -> bytes | None:
        """JPEG of a face if it is clearly the best of its person so far; None for all else.

        Args:
            crop: the face's, where it is decoded already.
        """
        if isinstance(record, SessionOpened):
            _remember(self._kept, (record.source, record.session), record.keeps_pictures)
        if not isinstance(record, Face) or not self._allowed(record):
            return None
        quality, made = self._best.get(record.person, (0.0, 0))
        if made >= PER_PERSON or record.quality <= quality * MARGIN:
            return None
        try:
            picture = portrait(record.crop if crop is None else crop)
        except UnreadableCrop:  # a reader of bytes found nothing wrong with it
            return None
        _remember(self._best, record.person, (record.quality, made + 1))
        return picture

    def forget(self) -> None:
        """Offer everybody again: what was offered may not have been stored, or be lost with a store that fell back."""
        self._best.clear()

    def _allowed(self, face: Face) -> bool:
        key = (face.source, face.session)
        if key not in self._kept:
            _remember(self._kept, key, self._ask(*key))
        return self._kept[key]


def portrait(crop: Crop) -> bytes:
    """The crop as a JPEG of 96 px.

    Raises:
        UnreadableCrop: it is no picture.
    """
    small = resized([pixels(crop)], EDGE)[0]
    done, body = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise RuntimeError(f"OpenCV did not encode a picture of {small.shape}")
    return bytes(np.asarray(body))


def _remember(memory: OrderedDict[K, V], key: K, value: V) -> None:
    """Note the value; the oldest key goes when there are too many."""
    memory[key] = value
    if len(memory) > REMEMBERED:
        memory.popitem(last=False)
