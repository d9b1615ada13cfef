"""DRML's region layer: an 8 x 8 grid of cells, each with its own BN, ReLU and convolution.

Source: Zhao et al., Deep Region and Multi-label Learning (CVPR 2016), sec. 3.1, fig. 3; zkl20061823/DRML
`prototxt/DRML.prototxt`; YIUYA/DRML `model/DRML.py` and AlexHex7/DRML_pytorch `lib/region_layer.py` (no licence
files; nothing copied).
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

GRID = 8
CELLS = GRID * GRID  # row by row
EPSILON = 1e-5
MOMENTUM = 0.1


def to_cells(x: Tensor) -> Tensor:
    """(B, C, 8h, 8w) -> (B, 64 * C, h, w), cells row by row."""
    x = torch.unflatten(torch.unflatten(x, 3, (GRID, -1)), 2, (GRID, -1))  # (B, C, row, h, column, w)
    return x.permute(0, 2, 4, 1, 3, 5).flatten(1, 3)


def from_cells(x: Tensor) -> Tensor:
    """(B, 64 * C, h, w) -> (B, C, 8h, 8w)."""
    x = torch.unflatten(x, 1, (GRID, GRID, -1))  # (B, row, column, C, h, w)
    return x.permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)


class RegionLayer(nn.Module):
    """x + conv(ReLU(BN(x))) in every cell; the convolution pads each cell with zeros, so cells do not see each other.

    All cells are computed at once as groups. In the state dict each cell has its own entries,
    `region_conv_ROW_COLUMN.{0,2}.*`, as in the public PyTorch code, so the batch statistics and parameters of the
    64 cells are kept in one tensor and parted when saved. `affine=False` leaves out BN's scale and shift, as in the
    Caffe release. That release's Box and Splice layers copy only some planes of a batch (channel * (batch + 1) of
    them) and leave the rest unwritten; here every plane is computed.
    """

    def __init__(self, channels: int = 32, *, affine: bool = True) -> None:
        super().__init__()
        self.channels = channels
        wide = CELLS * channels
        self.scale = nn.Parameter(torch.ones(wide)) if affine else None
        self.shift = nn.Parameter(torch.zeros(wide)) if affine else None
        self.register_buffer("running_mean", torch.zeros(wide))
        self.register_buffer("running_var", torch.ones(wide))
        self.register_buffer("batches", torch.zeros(CELLS, dtype=torch.long))
        cells = [nn.Conv2d(channels, channels, 3) for _ in range(CELLS)]  # for their initial values
        self.weight = nn.Parameter(torch.cat([cell.weight.detach() for cell in cells]))  # (64 * C, C, 3, 3)
        self.bias = nn.Parameter(torch.cat([cell.bias.detach() for cell in cells if cell.bias is not None]))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, 8h, 8w) -> the same shape."""
        return x + self.residual(x)

    def residual(self, x: Tensor) -> Tensor:
        """What the cells add: (B, C, 8h, 8w) -> the same shape."""
        if self.training:
            self.get_buffer("batches").add_(1)
        cells = functional.batch_norm(
            to_cells(x),
            self.get_buffer("running_mean"),
            self.get_buffer("running_var"),
            self.scale,
            self.shift,
            self.training,
            MOMENTUM,
            EPSILON,
        ).relu()  # (B, 64 * C, h, w)
        return from_cells(functional.conv2d(cells, self.weight, self.bias, padding=1, groups=CELLS))

    def inference(self) -> "PlainRegionLayer":
        """A copy in eval mode made of stock modules, which every exporter knows."""
        return PlainRegionLayer(self)

    def _entries(self) -> dict[str, Tensor | None]:
        return {
            "0.weight": self.scale,
            "0.bias": self.shift,
            "0.running_mean": self.get_buffer("running_mean"),
            "0.running_var": self.get_buffer("running_var"),
            "0.num_batches_tracked": self.get_buffer("batches"),
            "2.weight": self.weight,
            "2.bias": self.bias,
        }

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        for cell in range(CELLS):
            for name, whole in self._entries().items():
                if whole is not None:
                    part = cell_part(whole if keep_vars else whole.detach(), cell)
                    destination[f"{prefix}{cell_name(cell)}.{name}"] = part

    def _load_from_state_dict(  # the signature is torch's
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        if local_metadata.get("assign_to_params_buffers"):
            error_msgs.append(f"{prefix}: the cells are copied into one tensor, so assign=True cannot be honoured")
        known = set()
        for cell in range(CELLS):
            for name, whole in self._entries().items():
                if whole is None:
                    continue
                key = f"{prefix}{cell_name(cell)}.{name}"
                known.add(key)
                _load_part(cell_part(whole.detach(), cell), state_dict.get(key), key, missing_keys, error_msgs)
        if strict:
            unexpected_keys += [key for key in state_dict if key.startswith(prefix) and key not in known]


class PlainRegionLayer(nn.Module):
    """The region layer as stock modules with joined entries, for eval and export only."""

    def __init__(self, layer: RegionLayer) -> None:
        super().__init__()
        wide = CELLS * layer.channels
        self.norm = nn.BatchNorm2d(wide, eps=EPSILON, affine=layer.scale is not None)
        self.conv = nn.Conv2d(wide, wide, 3, padding=1, groups=CELLS)
        for mine, whole in (
            (self.norm.weight, layer.scale),
            (self.norm.bias, layer.shift),
            (self.norm.running_mean, layer.get_buffer("running_mean")),
            (self.norm.running_var, layer.get_buffer("running_var")),
            (self.conv.weight, layer.weight),
            (self.conv.bias, layer.bias),
        ):
            if mine is not None and whole is not None:
                mine.data = whole.detach().clone()
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, 8h, 8w) -> the same shape."""
        return x + from_cells(self.conv(self.norm(to_cells(x)).relu()))


def cell_name(cell: int) -> str:
    """The public code's name of a cell."""
    return f"region_conv_{cell // GRID}_{cell % GRID}"


def cell_part(whole: Tensor, cell: int) -> Tensor:
    """One cell's share of a joined tensor, a view of it; a scalar where the cells have one value each."""
    share = len(whole) // CELLS
    return whole[cell] if share == 1 and whole.dtype == torch.long else whole[cell * share : (cell + 1) * share]


def _load_part(mine: Tensor, given: Tensor | None, key: str, missing: list[str], errors: list[str]) -> None:
    if given is None:
        missing.append(key)
    elif given.shape != mine.shape:
        errors.append(f"size mismatch for {key}: {tuple(given.shape)} in the checkpoint, {tuple(mine.shape)} here")
    else:
        mine.copy_(given)
