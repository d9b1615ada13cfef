"""RandAugment for a batch on its device: some operations per picture, drawn anew for each.

Source: Cubuk et al., «RandAugment», NeurIPS 2020; the fourteen operations and their ranges as PaddleClas has them,
whose configuration TransFER was trained with. Differs: all geometric operations of a picture are one warp, done
before those on its tones, and replicate the border instead of filling it with grey.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

GEOMETRIC = ("shear x", "shear y", "translate x", "translate y", "rotate")
TONAL = (
    "colour",
    "posterise",
    "solarise",
    "contrast",
    "sharpness",
    "brightness",
    "auto-contrast",
    "equalise",
    "invert",
)
LEVELS = 256


def draw(layers: int, batch: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Operations (layers, B) and signs (layers, B) of +1 and −1."""
    shape = (layers, batch)
    chosen = torch.randint(0, len(GEOMETRIC) + len(TONAL), shape, generator=random, device=random.device)
    signs = torch.randint(0, 2, shape, generator=random, device=random.device) * 2 - 1
    return chosen, signs


def moves(draws: tuple[Tensor, Tensor], magnitude: int) -> Tensor:
    """(B, 2, 3) about the middle of the crop: the geometric operations, first layer first."""
    chosen, signs = draws
    strength = magnitude / 10 * signs.float()  # (layers, B)
    total = torch.eye(2, 3, device=chosen.device).expand(chosen.shape[1], 2, 3)
    for operation, some in zip(chosen, strength, strict=True):
        shear = [torch.where(operation == index, 0.3 * some, 0.0) for index in (0, 1)]
        shift = [torch.where(operation == index, 150 / 331 * some, 0.0) for index in (2, 3)]
        turn = torch.where(operation == 4, math.radians(30) * some, 0.0)
        linear = torch.stack(
            [torch.stack([turn.cos(), shear[0] - turn.sin()], 1), torch.stack([shear[1] + turn.sin(), turn.cos()], 1)],
            1,
        )
        offset = 0.5 + torch.stack(shift, 1) - linear.sum(2) / 2
        step = torch.cat([linear, offset[..., None]], 2)
        inner = step[..., :2] @ total
        total = torch.cat([inner[..., :2], inner[..., 2:] + step[..., 2:]], 2)
    return total


def tones(pictures: Tensor, draws: tuple[Tensor, Tensor], magnitude: int) -> Tensor:
    """(B, C, H, W) 0..1 after the operations on tones, first layer first."""
    for operation, signs in zip(*draws, strict=True):
        for index, name in enumerate(TONAL, start=len(GEOMETRIC)):
            changed = _tone(name, pictures, 1 + 0.9 * magnitude / 10 * signs.view(-1, 1, 1, 1), magnitude / 10)
            pictures = torch.where((operation == index).view(-1, 1, 1, 1), changed, pictures)
    return pictures


def _tone(name: str, pictures: Tensor, factor: Tensor, strength: float) -> Tensor:
    if name == "posterise":
        kept = float(1 << round(4 * strength))  # bits lost, as a step of tones
        return (pictures * 255 / kept).floor() * kept / 255
    if name == "solarise":
        return torch.where(pictures * 255 >= LEVELS * (1 - strength), 1 - pictures, pictures)
    if name == "invert":
        return 1 - pictures
    if name == "auto-contrast":
        low, high = pictures.amin((2, 3), keepdim=True), pictures.amax((2, 3), keepdim=True)
        return torch.where(high > low, (pictures - low) / (high - low).clamp(min=1 / 255), pictures)
    if name == "equalise":
        return equalised(pictures)
    grey = pictures.mean(1, keepdim=True)
    base = {"colour": lambda: grey, "contrast": lambda: grey.mean((2, 3), keepdim=True).expand_as(grey)}
    base |= {"brightness": lambda: torch.zeros_like(grey), "sharpness": lambda: smoothed(pictures)}
    other = base[name]()
    return (other + (pictures - other) * factor).clamp(0, 1)


def smoothed(pictures: Tensor) -> Tensor:
    """PIL's SMOOTH: a 3×3 mean whose middle counts five times."""
    channels = pictures.shape[1]
    kernel = torch.ones(channels, 1, 3, 3, device=pictures.device, dtype=pictures.dtype)
    kernel[:, :, 1, 1] = 5
    return functional.conv2d(functional.pad(pictures, (1, 1, 1, 1), mode="replicate"), kernel / 13, groups=channels)


def equalised(pictures: Tensor) -> Tensor:
    """Each channel's tones spread so that each is about as frequent."""
    batch, channels, height, width = pictures.shape
    tones_ = (pictures * 255).round().long().view(batch * channels, -1)  # (B·C, H·W)
    counts = torch.zeros(batch * channels, LEVELS, device=pictures.device)
    counts.scatter_add_(1, tones_, torch.ones_like(tones_, dtype=counts.dtype))
    below = counts.cumsum(1)
    least = torch.where(counts > 0, below, math.inf).amin(1, keepdim=True)
    spread = (below - least).clamp(min=0) / (height * width - least).clamp(min=1)
    flat = least >= height * width
    mapped = torch.where(flat, tones_.float() / 255, spread.gather(1, tones_))
    return mapped.view(batch, channels, height, width)
