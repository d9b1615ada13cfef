"""Tensors in a safetensors file, with a JSON note: read and written here, so that a bare machine needs no more.

Source of the layout: huggingface/safetensors README (Apache-2.0): u64 length, JSON header, then the bytes.
"""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from contract.errors import WeightsDoNotFit
from runtime.files import whole_file

KINDS = {
    "F32": torch.float32,
    "F64": torch.float64,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
NAMES = {kind: name for name, kind in KINDS.items()}
NOTE = "mien"
LARGEST_HEADER = 100_000_000  # the format's own limit


def write_tensors(path: Path, tensors: Mapping[str, Tensor], note: Mapping[str, Any]) -> None:
    """Write the file whole or not at all; an older one stays where it cannot be written.

    Raises:
        BadOutput: full disk, no permission.
    """
    header: dict[str, Any] = {"__metadata__": {NOTE: json.dumps(note)}}
    end = 0
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    for name, tensor in plain.items():
        begin, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    with whole_file(path) as file:
        file.write(struct.pack("<Q", len(head)) + head)
        for tensor in plain.values():
            file.write(tensor.reshape(-1).view(torch.uint8).numpy().data)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors on the CPU, and the note; empty where another program wrote the file.

    Raises:
        WeightsDoNotFit: the file is missing or damaged.
    """
    try:
        body = bytearray(path.read_bytes())
        (length,) = struct.unpack_from("<Q", body)
        if length > min(LARGEST_HEADER, len(body) - 8):
            raise ValueError(f"its header would be {length:,} bytes long")
        header = json.loads(body[8 : 8 + length])
        note = json.loads(header.pop("__metadata__", {}).get(NOTE, "{}"))
        start = 8 + length
        tensors = {name: _tensor(body, start, **entry) for name, entry in header.items()}
    except OSError as error:
        raise WeightsDoNotFit(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, AttributeError, struct.error, RuntimeError) as error:
        raise WeightsDoNotFit(f"{path}: no readable safetensors file ({error})") from error
    return tensors, note


def _tensor(body: bytearray, start: int, dtype: str, shape: list[int], data_offsets: list[int]) -> Tensor:
    begin, end = data_offsets
    kind = KINDS[dtype]
    count = (end - begin) // kind.itemsize
    if not 0 <= begin <= end <= len(body) - start or count * kind.itemsize != end - begin:
        raise ValueError("a tensor lies outside of it")
    if count == 0:
        return torch.empty(shape, dtype=kind)
    raw = torch.frombuffer(body, dtype=torch.uint8, count=end - begin, offset=start + begin)
    return raw.clone().view(kind).reshape(shape)
