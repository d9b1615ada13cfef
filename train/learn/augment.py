"""Pictures as the net sees them, made on the device: one warp per picture from where it is stored to its input.

Everything geometric is one (2, 3) matrix per picture and one bilinear sampling; a stored picture of 48 px is cut,
turned and enlarged in one go. The same generator gives the same pictures.
"""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from train.learn import random_augment
from train.recipe import Augment, Data

LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601, the same as in the exported graph


class Pictures:
    """Normalised input of a net from stored pictures.

    Args:
        edge: of the net's input, px.
        augment: what training does; evaluation sees the central window.
        data: normalisation and whether the net sees luminance.
    """

    def __init__(self, edge: int, augment: Augment, data: Data) -> None:
        self.edge, self.augment, self.data = edge, augment, data

    def training(self, stored: Tensor, to_picture: Tensor, random: torch.Generator) -> Tensor:
        """(B, 3, edge, edge) of stored (B, H, W, C) u8 and their matrices (B, 2, 3), augmented at random."""
        recipe, batch = self.augment, len(stored)
        draws = random_augment.draw(recipe.random_layers, batch, random) if recipe.random_layers else None
        moves = compose(jittered(recipe, batch, random), window(recipe, batch, random))
        if draws is not None:
            moves = compose(random_augment.moves(draws, recipe.random_magnitude), moves)
        pictures = warp(stored, compose(to_picture, moves), self.edge)  # (B, C, E, E) 0..1
        if draws is not None:
            pictures = random_augment.tones(pictures, draws, recipe.random_magnitude)
        pictures = coloured(pictures, recipe, random)
        return erased(self._normal(pictures), recipe, random)

    def evaluation(self, stored: Tensor, to_picture: Tensor) -> Tensor:
        """(B, 3, edge, edge): the central window, nothing at random."""
        share = self.augment.centre
        low = torch.full((len(stored), 2), (1 - share) / 2, device=stored.device)
        centre = placed(low, torch.full_like(low, share))
        return self._normal(warp(stored, compose(to_picture, centre), self.edge))

    def _normal(self, pictures: Tensor) -> Tensor:
        if self.data.grey:
            pictures = luminance(pictures)
        mean, std = (
            torch.tensor(each, device=pictures.device).view(1, 3, 1, 1) for each in (self.data.mean, self.data.std)
        )
        return (pictures.expand(-1, 3, -1, -1) - mean) / std


def warp(stored: Tensor, to_picture: Tensor, edge: int) -> Tensor:
    """(B, C, edge, edge) float 0..1: what lies at fractions (u, v) of the result is taken from to_picture · (u, v, 1).

    Pixel i covers i..i+1; bilinear; outside, the border is replicated: as `ingest.faces.align.cut`, whose fixed-point
    arithmetic differs by less than 1/64 of a step between neighbours.
    """
    pictures = stored.permute(0, 3, 1, 2).float() / 255  # (B, C, H, W)
    size = torch.tensor([stored.shape[2], stored.shape[1]], device=stored.device).view(1, 2, 1)
    theta = to_picture / size * 2.0  # fractions -> -1..1 of the picture
    theta = torch.cat([theta[..., :2] / 2, theta[..., 2:] + theta[..., :2].sum(2, keepdim=True) / 2 - 1], 2)
    grid = functional.affine_grid(theta, [len(stored), pictures.shape[1], edge, edge], align_corners=False)
    return functional.grid_sample(pictures, grid, mode="bilinear", padding_mode="border", align_corners=False)


def compose(outer: Tensor, inner: Tensor) -> Tensor:
    """(B, 2, 3): first inner, then outer."""
    linear = outer[..., :2] @ inner
    return torch.cat([linear[..., :2], linear[..., 2:] + outer[..., 2:]], 2)


def placed(low: Tensor, size: Tensor) -> Tensor:
    """(B, 2, 3): the unit square becomes the window at `low` (B, 2) of `size` (B, 2)."""
    return torch.cat([torch.diag_embed(size), low[..., None]], 2)


def about_centre(linear: Tensor, shift: Tensor) -> Tensor:
    """(B, 2, 3): linear (B, 2, 2) about the middle of the unit square, then shift (B, 2)."""
    half = torch.full_like(shift, 0.5)
    offset = half + shift - (linear @ half[..., None])[..., 0]
    return torch.cat([linear, offset[..., None]], 2)


def uniform(random: torch.Generator, shape: tuple[int, ...], low: float = 0.0, high: float = 1.0) -> Tensor:
    """Numbers from low to high on the generator's device."""
    return low + (high - low) * torch.rand(shape, generator=random, device=random.device)


def window(recipe: Augment, batch: int, random: torch.Generator) -> Tensor:
    """(B, 2, 3): the part of the crop that a training picture shows.

    «five»: a corner or the centre (torchvision's FiveCrop); «random»: anywhere; «area»: a share of the surface with a
    ratio of its sides, uniform in area and in the logarithm of the ratio (torchvision's RandomResizedCrop without its
    ten tries: a window that does not fit is cut to the crop).
    """
    if recipe.window == "five":
        corner = torch.randint(0, 5, (batch,), generator=random, device=random.device)
        place = torch.stack([corner % 2, corner // 2], 1).float()
        place = torch.where((corner == 4)[:, None], 0.5, place)
    else:
        place = uniform(random, (batch, 2))
    size = torch.full_like(place, recipe.share)
    if recipe.window == "area":
        surface = uniform(random, (batch, 1), *recipe.area)
        root = torch.exp(uniform(random, (batch, 1), *(math.log(each) / 2 for each in recipe.ratio)))
        size = (surface.sqrt() * torch.cat([root, 1 / root], 1)).clamp(max=1.0)
    if recipe.window == "whole":
        size = torch.ones_like(place)
    return placed(place * (1 - size), size)


def jittered(recipe: Augment, batch: int, random: torch.Generator) -> Tensor:
    """(B, 2, 3): flip, rotation, scale and shift about the middle of the crop."""
    turn = uniform(random, (batch,), -1, 1) * math.radians(recipe.rotate_deg)
    turn = turn * (uniform(random, (batch,)) < recipe.rotate_chance)
    scale = 1 / uniform(random, (batch,), 1 - recipe.scale, 1 + recipe.scale)
    mirror = 1 - 2 * (uniform(random, (batch,)) < recipe.flip).float()
    cosine, sine = scale * turn.cos(), scale * turn.sin()
    linear = torch.stack([torch.stack([cosine * mirror, -sine], 1), torch.stack([sine * mirror, cosine], 1)], 1)
    return about_centre(linear, uniform(random, (batch, 2), -1, 1) * recipe.shift)


def luminance(pictures: Tensor) -> Tensor:
    """(B, 1, H, W) of (B, 1 or 3, H, W) RGB."""
    if pictures.shape[1] == 1:
        return pictures
    weights = torch.tensor(LUMINANCE, device=pictures.device).view(1, 3, 1, 1)
    return (pictures * weights).sum(1, keepdim=True)


def coloured(pictures: Tensor, recipe: Augment, random: torch.Generator) -> Tensor:
    """Brightness, contrast, saturation, hue and loss of colour; the latter three only where there is colour."""
    batch = len(pictures)

    def factor(spread: float) -> Tensor:
        held = uniform(random, (batch, 1, 1, 1)) < recipe.jitter_chance
        return torch.where(held, uniform(random, (batch, 1, 1, 1), -spread, spread), 0.0)

    brightness, contrast, saturation, hue = recipe.jitter
    if brightness:
        pictures = (pictures * (1 + factor(brightness))).clamp(0, 1)
    if contrast:
        mean = luminance(pictures).mean((1, 2, 3), keepdim=True)
        pictures = (mean + (pictures - mean) * (1 + factor(contrast))).clamp(0, 1)
    if pictures.shape[1] == 1:
        return pictures
    if saturation:
        grey = luminance(pictures)
        pictures = (grey + (pictures - grey) * (1 + factor(saturation))).clamp(0, 1)
    if hue:
        pictures = turned_hue(pictures, factor(hue)[:, 0, 0, 0] * 2 * math.pi)
    if recipe.grey:
        lost = uniform(random, (batch, 1, 1, 1)) < recipe.grey
        pictures = torch.where(lost, luminance(pictures), pictures)
    return pictures


YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))  # NTSC, FCC 1953


def turned_hue(pictures: Tensor, radians: Tensor) -> Tensor:
    """Colours turned about the grey axis in YIQ; near torchvision's hue shift, and one matrix per picture."""
    to_yiq = torch.tensor(YIQ, device=pictures.device)
    cosine, sine, zero, one = radians.cos(), radians.sin(), torch.zeros_like(radians), torch.ones_like(radians)
    turn = torch.stack([one, zero, zero, zero, cosine, -sine, zero, sine, cosine], 1).view(-1, 3, 3)
    matrix = torch.linalg.inv(to_yiq) @ turn @ to_yiq  # (B, 3, 3)
    return torch.einsum("bij,bjhw->bihw", matrix, pictures).clamp(0, 1)


def erased(pictures: Tensor, recipe: Augment, random: torch.Generator) -> Tensor:
    """A rectangle of some of the normalised pictures becomes zero, which is the mean colour (Zhong et al. 2017)."""
    if not recipe.erase:
        return pictures
    batch, edge = len(pictures), pictures.shape[-1]
    held = uniform(random, (batch, 1)) < recipe.erase
    surface = uniform(random, (batch, 1), *recipe.erase_area)
    root = torch.exp(uniform(random, (batch, 1), math.log(0.3) / 2, -math.log(0.3) / 2))
    size = (surface.sqrt() * torch.cat([root, 1 / root], 1)).clamp(max=1.0)
    low = uniform(random, (batch, 2)) * (1 - size)
    middles = (torch.arange(edge, device=pictures.device) + 0.5) / edge
    inside = (middles >= low[..., None]) & (middles < (low + size)[..., None]) & held[..., None]  # (B, 2, E)
    return pictures.masked_fill((inside[:, 1, :, None] & inside[:, 0, None, :])[:, None], 0.0)


def mixed(pictures: Tensor, targets: Tensor, spread: float, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Each face mixed with another of the batch, its label likewise; one share per batch (Zhang et al. 2018, eq. 1)."""
    if not spread:
        return pictures, targets
    share = float(random.beta(spread, spread))
    return share * pictures + (1 - share) * pictures.flip(0), share * targets + (1 - share) * targets.flip(0)
