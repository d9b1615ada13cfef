"""Stored pictures on the device, by row: all at once where they fit, else batch by batch from the memory map."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from train.data.faceset import FaceSet


class Feed:
    """Pictures and matrices of rows of a set."""

    def __init__(self, faces: FaceSet, device: torch.device) -> None:
        self._faces, self.device = faces, device
        self._resident: tuple[Tensor, Tensor] | None = None
        if device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(device)
            if len(faces) * int(np.prod(faces.pictures.shape)) < free // 3:
                self._resident = self._moved(np.arange(len(faces)))

    def __call__(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """(B, H, W, C) u8 and (B, 2, 3) float on the device."""
        if self._resident is None:
            return self._moved(rows)
        chosen = torch.from_numpy(rows).to(self.device, non_blocking=True)
        return self._resident[0][chosen], self._resident[1][chosen]

    def _moved(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        pictures = torch.from_numpy(self._faces.pictures.take(rows))
        matrices = torch.from_numpy(self._faces.matrices(rows))
        return pictures.to(self.device, non_blocking=True), matrices.to(self.device, non_blocking=True)
