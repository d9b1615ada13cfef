"""One process per GPU: `torchrun` starts them and says by the environment who is who; alone, nothing is set up."""

import os
from dataclasses import dataclass

import torch
from torch import distributed

from contract.errors import BadRequest


@dataclass(frozen=True, slots=True)
class Processes:
    """Who this process is."""

    rank: int
    count: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """The one that writes and reports."""
        return self.rank == 0

    @property
    def described(self) -> str:
        """What they run on, in words."""
        if self.device.type == "cuda":
            return f"{self.count} × {torch.cuda.get_device_name(self.device)}"
        threads = self.count * torch.get_num_threads()
        return f"{threads} CPU thread{'s' if threads > 1 else ''}"

    def share(self, value: float) -> float:
        """The first process's value, in all of them."""
        if self.count == 1:
            return value
        told = torch.tensor([value], dtype=torch.float64, device=self.device)
        distributed.broadcast(told, 0)
        return float(told)

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        """The mean over all processes."""
        if self.count > 1:
            distributed.all_reduce(value)
            value = value / self.count
        return value


def join(device: str) -> Processes:
    """Join the others, where there are any.

    Raises:
        BadRequest: there is no such device.
    """
    rank, count = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise BadRequest(f"device {device!r}: no GPU that torch {torch.__version__} can use; wanted cpu or auto")
    place = torch.device(device)
    if place.type == "cuda" and count > 1:
        place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        torch.cuda.set_device(place)
    if count > 1 and not distributed.is_initialized():
        distributed.init_process_group("nccl" if place.type == "cuda" else "gloo")
    return Processes(rank, count, place)


def leave() -> None:
    """Part from the others."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()
