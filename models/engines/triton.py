"""A net in the layout that NVIDIA's Triton loads: nobody is tied to the worker of this project.

Source: triton-inference-server/server docs/user_guide/model_repository.md and model_configuration.md (BSD-3-Clause).
"""

from pathlib import Path

from contract.errors import BadRequest
from contract.model_card import ModelCard, weights_of
from runtime.files import write_whole

MOST = 256  # crops per batch that Triton may put together
DELAY_US = 2000  # that a crop waits for others


def write_triton(card: ModelCard, folder: Path, out: Path, most: int = MOST) -> Path:
    """Write the net as a model of a Triton repository and return its folder.

    NAME/config.pbtxt, NAME/labels.txt and NAME/1/model.onnx; whoever asks divides logits by the temperature, which is
    among the parameters.

    Args:
        card: of an ONNX file.
        folder: of the card.
        out: the model repository.
        most: crops per batch.

    Raises:
        BadRequest: a net that takes pictures of any size, which Triton cannot batch.
        BadModel: the file is not the card's.
        BadOutput: the repository cannot be written.
    """
    if card.input_edge < 1 or most < 1:
        raise BadRequest(f"{card.name}: input edge {card.input_edge} px, batches of {most}; wanted at least 1 of both")
    home = out / card.name
    write_whole(home / "1" / "model.onnx", weights_of(card, folder))
    write_whole(home / "labels.txt", "".join(f"{label}\n" for label in card.labels).encode())
    write_whole(home / "config.pbtxt", config(card, most).encode())  # last: without it there is no model
    return home


def config(card: ModelCard, most: int) -> str:
    """Return the model's configuration, a protobuf text."""
    preferred = ", ".join(str(1 << power) for power in range(3, most.bit_length()) if 1 << power <= most) or str(most)
    return f"""\
# {card.name}, version {card.version}: {card.task}; sha256 of model.onnx {card.sha256}
# {card.limits}
name: "{card.name}"
platform: "onnxruntime_onnx"
max_batch_size: {most}
input [ {{ name: "crops", data_type: TYPE_UINT8, dims: [ {card.input_edge}, {card.input_edge}, 3 ] }} ]
output [ {{ name: "{card.output}", data_type: TYPE_FP32, dims: [ {len(card.labels)} ], label_filename: "labels.txt" }} ]
dynamic_batching {{ preferred_batch_size: [ {preferred} ], max_queue_delay_microseconds: {DELAY_US} }}
parameters {{ key: "temperature", value: {{ string_value: "{card.temperature}" }} }}
"""
