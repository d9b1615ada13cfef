"""ONNX Runtime on the CPU: the engine that runs everywhere."""

from pathlib import Path

import numpy as np
import onnxruntime

from contract.errors import BadModel
from contract.model_card import ModelCard, weights_of
from models.engines import Crops, Outputs
from models.engines.crops import ANY_EDGE, checked, noise
from models.engines.deferred import Deferred, Put

EXACT_INT8 = ("session.x64quantprecision", "1")
"""Session option that makes int8 nets exact on x86 processors without VNNI, at 1.4 times the time.

There, ONNX Runtime adds two products of an unsigned and a signed byte in 16 bits, which saturate: measured on an AVX2
machine, the default net's logits were off by 0.56 on average and 18 % of the decisions changed. With this option both
sides are unsigned, with 0.03 left. Processors with VNNI ignore it.
"""

SATURATING_BITS = 8
"""Weights of fewer bits cannot saturate (255 * 64 * 2 < 32,768): they need no option and are fast everywhere."""


class OnnxEngine:
    """A net run by ONNX Runtime on the CPU.

    The pool does not spin: beside a decoder on few cores, spinning threads cost more than they gain.
    """

    def __init__(self, card: ModelCard, folder: Path, threads: int = 1) -> None:
        self.card = card
        self._session = open_session(weights_of(card, folder), threads, card.name, card.weight_bits)
        self._input = self._session.get_inputs()[0].name
        self._outputs = [output.name for output in self._session.get_outputs()]
        self._deferred = Deferred(self.__call__, card.name)

    def __call__(self, crops: Crops) -> Outputs:
        """Return the outputs of crops (N, H, W, 3) u8 RGB."""
        crops = checked(crops, self.card)
        if len(crops) == 0:  # some graphs cannot reshape nothing; one crop tells the shapes
            shapes = self(np.zeros((1, *(side or ANY_EDGE for side in crops.shape[1:3]), 3), np.uint8))
            return {name: values[:0] for name, values in shapes.items()}
        return dict(zip(self._outputs, self._session.run(None, {self._input: crops}), strict=True))

    def submit(self, crops: Crops) -> Put:
        """Begin a batch of crops (N, H, W, 3) u8 RGB on the engine's own thread and return its ticket."""
        return self._deferred.submit(checked(crops, self.card))

    def warm_up(self, most: int) -> None:
        """Run one batch of `most` crops: the first one of a size makes buffers."""
        self(noise(self.card.input_edge or ANY_EDGE, max(1, most)))

    def close(self) -> None:
        """Finish what was submitted and end the engine's own thread."""
        self._deferred.close()


def open_session(
    weights: bytes, threads: int, name: str, weight_bits: int = SATURATING_BITS, literally: bool = False
) -> onnxruntime.InferenceSession:
    """Return a CPU session over the very bytes whose hash was checked.

    Args:
        weights: an ONNX file.
        threads: of one call.
        name: for errors.
        weight_bits: of its int8 products, where it has any (`ModelCard.weight_bits`).
        literally: node by node; ONNX Runtime's rewriting gets eight bits between fp16 wrong and fails on fp8.

    Raises:
        BadModel: ONNX Runtime cannot read them.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False  # the arena keeps the largest shape it ever saw
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if literally:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    if weight_bits >= SATURATING_BITS:
        options.add_session_config_entry(*EXACT_INT8)
    try:
        return onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises a dozen unrelated classes
        reason = str(error).splitlines()[0]
        raise BadModel(f"{name}: ONNX Runtime cannot open these weights ({reason})") from error
