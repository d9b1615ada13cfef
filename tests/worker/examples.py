"""Records, entries and a pure engine: small real values for the worker's tests."""

import dataclasses
import zlib
from typing import Any

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from contract.labels import GapReason
from contract.model_card import ModelCard
from contract.readings import Channel, ChannelKind, NetVersion, Point, ReadingSchema
from contract.records import Crop, Erase, Face, Gap, Progress, SessionOpened
from models.engines.deferred import Immediate

SCHEMA = ReadingSchema(
    (NetVersion("fake", "1", "0" * 64),),
    (
        Channel("neutral", ChannelKind.EXPRESSION),
        Channel("happiness", ChannelKind.EXPRESSION),
        Channel("AU12", ChannelKind.ACTION_UNIT),
    ),
)


def an_opening(source: str = "cam", session: str = "s1", keeps_pictures: bool = False) -> SessionOpened:
    return SessionOpened(
        source=source,
        session=session,
        sequence=0,
        uri="file:clip.mp4",
        event_time=0,
        dated=False,
        size_wh=(640, 480),
        fps=25.0,
        sample_hz=None,
        keeps_pictures=keeps_pictures,
        name="front door",
        settings='{"mien": "0"}',
    )


def a_point(
    sequence: int,
    person: str = "ann",
    source: str = "cam",
    session: str = "s1",
    event_time: int | None = None,
    quality: float = 0.5,
    values: tuple[float, ...] = (0.25, 0.75, 0.5),
    picture: bytes | None = None,
) -> Point:
    face = a_face(sequence, person, source, b"", quality, session=session, event_time=event_time)
    return Point(face, np.array(values, np.float32), picture)


def with_face(point: Point, **changes: Any) -> Point:
    return dataclasses.replace(point, face=structs.replace(point.face, **changes))


def a_face(
    sequence: int,
    person: str = "ann",
    source: str = "cam",
    crop: Crop | None = None,
    quality: float = 0.5,
    session: str = "s1",
    event_time: int | None = None,
) -> Face:
    return Face(
        source=source,
        session=session,
        sequence=sequence,
        event_time=sequence * 40_000 if event_time is None else event_time,
        frame=sequence,
        track=1,
        person=person,
        box_xywh=(10.5, 20.5, 30.0, 41.0),
        quality=quality,
        sharpness=0.6,
        yaw_deg=-12.0,
        pitch_deg=3.0,
        roll_deg=40.0,
        score=0.9,
        crop=a_crop(sequence) if crop is None else crop,
    )


def a_crop(seed: int, edge: int = 32) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (edge, edge, 3), np.uint8)


def a_gap(sequence: int, source: str = "cam", session: str = "s1") -> Gap:
    begin = sequence * 40_000
    return Gap(
        source=source, session=session, sequence=sequence, begin=begin, end=begin + 7, reason=GapReason.DECODE_ERROR
    )


def a_left_out(sequence: int, source: str = "cam", session: str = "s1") -> Gap:
    """A stretch in which faces were left out."""
    return structs.replace(a_gap(sequence, source, session), reason=GapReason.LOW_QUALITY, faces=3)


def a_progress(sequence: int, source: str = "cam", session: str = "s1", closed: bool = False) -> Progress:
    return Progress(
        source=source,
        session=session,
        sequence=sequence,
        event_time=sequence * 40_000,
        frames=sequence,
        looked_at=sequence,
        closed=closed,
    )


def an_erasure(person: str = "ann", sequence: int = 0, source: str = "cam", session: str = "erase") -> Erase:
    return Erase(source=source, session=session, sequence=sequence, person=person)


def a_card(labels: tuple[str, ...], task: str = "expressions", edge: int = 32, **changes: object) -> ModelCard:
    fields = {"name": f"fake-{task}", "version": "1", "sha256": "0" * 64, "output": "logits", **changes}
    return ModelCard(
        net="fake",
        file="fake.onnx",
        task=task,
        labels=labels,
        input_edge=edge,
        training_data="none",
        licence="none",
        intended_use="tests",
        limits="all",
        **fields,
    )


class PureEngine(Immediate):
    """An engine whose logits are a function of the crop's bytes alone."""

    def __init__(self, card: ModelCard) -> None:
        self.card = card
        self.calls: list[tuple[int, ...]] = []

    def __call__(self, crops: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        self.calls.append(crops.shape)
        return {"logits": np.stack([self.logits_of(crop) for crop in crops])}

    def logits_of(self, crop: NDArray[np.uint8]) -> NDArray[np.float32]:
        rng = np.random.default_rng(zlib.crc32(crop.tobytes()))
        return rng.normal(0, 2, len(self.card.labels)).astype(np.float32)
