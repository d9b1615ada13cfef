"""Readings of crops by all nets, side by side."""

from collections.abc import Sequence
from typing import Literal, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from contract.errors import BadModel, EngineDoesNotFit
from contract.model_card import ModelCard
from contract.readings import Channel, ChannelKind, NetVersion, ReadingSchema
from contract.records import Crop
from models.engines import Engine
from worker.reading.crops import resized

Values = NDArray[np.float32]
Wants = Literal["pixels", "bytes"]


class Reading(Protocol):
    """Crops to values: the seam between the worker and whatever reads faces.

    `wants` says how crops are handed over: decoded and checked («pixels»), or just as they came («bytes»). Left out:
    batching, timeouts and what to do with a crop that it fails on (all the worker's).
    """

    @property
    def schema(self) -> ReadingSchema:
        """The meaning of the values."""
        ...

    @property
    def wants(self) -> Wants:
        """How crops are handed over."""
        ...

    def __call__(self, crops: Sequence[Crop]) -> Values:
        """Readings (N, channels) float32 in 0..1; the answer for a crop does not depend on its neighbours.

        Raises:
            EngineFailed: nothing may be concluded, the process should end. Any other error than a MienError is laid
                to one of the crops.
        """
        ...


class Reader:
    """Reads crops with several nets, in the order of `schema`: a `Reading` over engines.

    Raises:
        BadModel: no net at all, two that name the same channel, or one that states no input edge.
    """

    wants: Wants = "pixels"

    def __init__(self, engines: Sequence[Engine]) -> None:
        self._engines = tuple(engines)
        self.schema = schema_of([engine.card for engine in engines])

    def __call__(self, crops: Sequence[Crop]) -> Values:
        """Readings (N, channels) float32 in 0..1 of crops (edge, edge, 3) u8 RGB, checked before; one call per engine.

        Raises:
            EngineDoesNotFit: an engine answers in another shape than its card says.
        """
        if not crops:
            return np.empty((0, len(self.schema.channels)), np.float32)
        pictures = cast(Sequence[NDArray[np.uint8]], crops)  # `wants` says so
        batches = {edge: resized(pictures, edge) for edge in {engine.card.input_edge for engine in self._engines}}
        return np.concatenate([_ask(engine, batches[engine.card.input_edge]) for engine in self._engines], axis=1)


def schema_of(cards: Sequence[ModelCard]) -> ReadingSchema:
    """The meaning of the values that nets with these cards give, side by side.

    Raises:
        BadModel: no card, two with the same channel, or one without an input edge.
    """
    if not cards:
        raise BadModel("no net to read faces with, wanted at least one")
    for card in cards:
        if card.input_edge < 1:
            raise BadModel(f"{card.name}: input edge {card.input_edge} px, wanted at least 1")
    channels = tuple(Channel(label, card.kind) for card in cards for label in card.labels)
    names = [channel.name for channel in channels]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise BadModel(
            f"nets {', '.join(card.name for card in cards)} both give {twice[0]!r}, wanted each channel once"
        )
    return ReadingSchema(tuple(NetVersion(card.name, card.version, card.sha256) for card in cards), channels)


def softmax(logits: Values) -> Values:
    """Shares along the last axis that sum to one; large logits do not overflow."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares: Values = powers / powers.sum(axis=-1, keepdims=True)
    return shares


def sigmoid(logits: Values) -> Values:
    """1 / (1 + e^-x), by the hyperbolic tangent, which does not overflow."""
    chances: Values = np.float32(0.5) * (np.float32(1.0) + np.tanh(np.float32(0.5) * logits))
    return chances


def _ask(engine: Engine, crops: NDArray[np.uint8]) -> Values:
    card = engine.card
    outputs = engine(crops)
    logits = outputs.get(card.output)
    wanted = (len(crops), len(card.labels))
    if logits is None or logits.shape != wanted:
        seen = f"outputs {sorted(outputs)}" if logits is None else f"{card.output} of shape {logits.shape}"
        raise EngineDoesNotFit(f"{card.name}: the engine gives {seen}, its card says {card.output} of shape {wanted}")
    scaled = logits.astype(np.float32) / np.float32(card.temperature)
    return softmax(scaled) if card.kind is ChannelKind.EXPRESSION else sigmoid(scaled)
