"""An engine that reads nothing but the numbers in the picture: a pure function of the crop."""

import hashlib
import os
import signal
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.faults.control import Control
from bench.faults.source import EDGE, Numbers, numbers_in
from contract.errors import EngineFailed
from contract.labels import ACTION_UNITS
from contract.model_card import ModelCard
from contract.points import VALUE_STEP
from models.engines.deferred import Immediate

CHANNELS = 6  # source, session, frame (high, low), face, model
POISON_FACE = 255  # a face of this number makes the engine fail on the whole batch
KILLER_FACE = 254  # a face of this number kills the process, as a fault in a decoder or a driver does


def card(model: int) -> ModelCard:
    """The card of one version of the net; another version is another reading schema."""
    return ModelCard(
        name="numbers",
        version=str(model),
        net="none",
        file="numbers.onnx",
        sha256=hashlib.sha256(f"numbers {model}".encode()).hexdigest(),
        task="action_units",
        labels=ACTION_UNITS[:CHANNELS],
        input_edge=EDGE,
        output="logits",
        training_data="none",
        licence="Apache-2.0",
        intended_use="fault tests",
        limits="reads bit strips only",
    )


@dataclass(slots=True)
class NumberEngine(Immediate):
    """Answers with the numbers in the picture and its own version, as logits of shares of 65,535.

    `control` says when to be slow, to hang, to fail or to spoil one batch.
    """

    card: ModelCard
    control: Control

    def __call__(self, crops: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Logits (N, 6).

        Raises:
            ValueError: a picture is poison.
            EngineFailed: as told.
        """
        self._misbehave(len(crops))
        read = [numbers_in(crop) for crop in crops]
        if any(numbers.face == KILLER_FACE for numbers in read):
            os.kill(os.getpid(), signal.SIGKILL)
        if any(numbers.face == POISON_FACE for numbers in read):
            raise ValueError("a picture that this engine cannot bear")
        rows = [words_of(numbers, int(self.card.version)) for numbers in read]
        shares = np.array(rows, np.float64).reshape(-1, CHANNELS) / VALUE_STEP
        with np.errstate(divide="ignore"):
            return {self.card.output: np.log(shares / (1.0 - shares)).astype(np.float32)}  # 0 is -inf: a sigmoid of 0

    def _misbehave(self, count: int) -> None:
        told = self.control.read()
        if told.sleep_s:
            time.sleep(told.sleep_s * max(1, count))
        if told.hang:
            while True:
                time.sleep(3600)
        if told.engine_fails:
            raise EngineFailed("the processor gave up (as told)")
        if told.poison:
            raise ValueError("a picture that this engine cannot bear (as told)")


def words_of(numbers: Numbers, model: int) -> tuple[int, ...]:
    """The numbers as six words of 16 bits."""
    return (numbers.source, numbers.session, numbers.frame >> 16, numbers.frame & 0xFFFF, numbers.face, model)


def numbers_of(words: NDArray[np.int64]) -> tuple[Numbers, int]:
    """The numbers and the model in six words."""
    source, session, high, low, face, model = map(int, words)
    return Numbers(source, session, high << 16 | low, face), model
