"""What training does to pictures: the warp is the live cut, the draws are repeatable, each change is what it says."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ingest.faces.align import cut, similarity
from train.data.prepare import inverse
from train.learn import augment, random_augment
from train.learn.augment import Pictures
from train.recipe import Augment, Data, names, read_recipe
from train.ship.export import LUMINANCE

PLAIN = Data("class", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
WHOLE = torch.tensor([[[16.0, 0, 0], [0, 16.0, 0]]])


def random_pictures(count: int, edge: int = 16, channels: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, edge, edge, channels), generator=generator, dtype=torch.uint8)


def trained(recipe: Augment, count: int = 64, seed: int = 0, channels: int = 3) -> torch.Tensor:
    pictures = Pictures(16, recipe, PLAIN)
    stored = random_pictures(count, channels=channels)
    return pictures.training(stored, WHOLE.expand(count, 2, 3), torch.Generator().manual_seed(seed))


def test_the_warp_is_the_cut_of_live_crops() -> None:
    random = np.random.default_rng(0)
    picture = random.integers(0, 256, (60, 50, 3), np.uint8)
    points = np.array([(14, 20), (31, 18), (24, 28), (17, 37), (31, 36)], np.float64)
    maps = torch.from_numpy(inverse(similarity(points)))[None].float()

    warped = augment.warp(torch.from_numpy(picture)[None], maps, 112)[0].permute(1, 2, 0) * 255

    # OpenCV interpolates in steps of 1/32 px: up to 255/64 in this noise per axis, and rounding
    assert np.abs(warped.numpy() - cut(picture, points, 112).astype(float)).max() < 9
    assert np.abs(warped.numpy() - cut(picture, points, 112).astype(float)).mean() < 1


def test_a_stored_crop_of_the_nets_size_comes_through_unchanged() -> None:
    stored = random_pictures(2)
    seen = Pictures(16, Augment(), PLAIN).evaluation(stored, WHOLE.expand(2, 2, 3))
    assert torch.allclose(seen, stored.permute(0, 3, 1, 2) / 255, atol=1e-5)
    same = trained(Augment(), 2)
    assert torch.allclose(same, seen, atol=1e-5)


def test_evaluation_sees_the_central_window() -> None:
    stored = random_pictures(1)
    seen = Pictures(8, Augment(centre=0.5), PLAIN).evaluation(stored, WHOLE)
    assert torch.allclose(seen, stored.permute(0, 3, 1, 2)[:, :, 4:12, 4:12] / 255, atol=1e-5)


def test_normalisation_and_luminance() -> None:
    stored = random_pictures(1)
    data = Data("class", mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4), grey=True)
    seen = Pictures(16, Augment(), data).evaluation(stored, WHOLE)
    grey = (stored[0].double() / 255 @ torch.tensor(LUMINANCE, dtype=torch.float64)).float()
    assert augment.LUMINANCE == LUMINANCE  # training and the exported graph see the same
    assert torch.allclose(seen[0, 2], (grey - 0.6) / 0.4, atol=1e-5)


def test_the_same_seed_gives_the_same_pictures_in_every_recipe() -> None:
    for name in names():
        recipe = read_recipe(name).augment
        one, same, other = (trained(recipe, 4, seed) for seed in (1, 1, 2))
        assert torch.equal(one, same), name
        assert torch.isfinite(one).all(), name
        if recipe != Augment():
            assert not torch.equal(one, other), name


def test_a_flip_mirrors_about_half_of_them() -> None:
    plain, seen = trained(Augment()), trained(Augment(flip=0.5))
    kept = torch.isclose(seen, plain, atol=1e-4).flatten(1).all(1)
    turned = torch.isclose(seen, plain.flip(3), atol=1e-4).flatten(1).all(1)
    assert (kept | turned).all()
    assert 16 < int(turned.sum()) < 48  # 64 coins: this fails once in 30,000 seeds


def test_a_shift_of_a_whole_pixel_moves_the_picture() -> None:
    moves = augment.about_centre(torch.eye(2)[None], torch.tensor([[1 / 16, 0.0]]))
    stored = random_pictures(1)
    seen = augment.warp(stored, augment.compose(WHOLE, moves), 16)
    assert torch.allclose(seen[..., :-1], stored.permute(0, 3, 1, 2)[..., 1:] / 255, atol=1e-4)


def test_a_quarter_turn_turns() -> None:
    turn = torch.tensor([[[0.0, -1.0], [1.0, 0.0]]])
    stored = random_pictures(1)
    seen = augment.warp(stored, augment.compose(WHOLE, augment.about_centre(turn, torch.zeros(1, 2))), 16)
    # the result's right is the picture's below: the picture turns against the clock
    assert torch.allclose(seen, torch.rot90(stored.permute(0, 3, 1, 2) / 255, 1, (2, 3)), atol=1e-4)


def test_rotation_and_scale_keep_to_their_bounds() -> None:
    moves = augment.jittered(Augment(rotate_deg=12, scale=0.1), 500, torch.Generator().manual_seed(0))
    size = torch.linalg.det(moves[:, :, :2]).sqrt()
    angle = torch.atan2(moves[:, 1, 0], moves[:, 0, 0]) * 180 / math.pi
    assert 1 / 1.1 - 1e-5 < float(size.min()) < 0.93 < 1.07 < float(size.max()) < 1 / 0.9 + 1e-5
    assert 11 < float(angle.abs().max()) <= 12 + 1e-4


def windows(recipe: Augment) -> NDArray[np.float32]:
    """(n, 4) left, top, width, height."""
    placed = augment.window(recipe, 800, torch.Generator().manual_seed(0))
    return torch.stack([placed[:, 0, 2], placed[:, 1, 2], placed[:, 0, 0], placed[:, 1, 1]], 1).numpy()


def test_five_windows_are_the_corners_and_the_centre() -> None:
    corners = {tuple(np.round(each, 4).tolist()) for each in windows(Augment(window="five", share=0.875))}
    wanted = [(0, 0), (0.125, 0), (0, 0.125), (0.125, 0.125), (0.0625, 0.0625)]
    assert corners == {(x, y, 0.875, 0.875) for x, y in wanted}


def test_area_windows_keep_area_ratio_and_place() -> None:
    seen = windows(Augment(window="area", area=(0.1, 0.5), ratio=(0.8, 1.25)))
    area, ratio = seen[:, 2] * seen[:, 3], seen[:, 2] / seen[:, 3]
    assert 0.1 <= area.min() < 0.12 < 0.48 < area.max() <= 0.5 + 1e-6
    assert 0.8 - 1e-5 <= ratio.min() < 0.82 < 1.22 < ratio.max() <= 1.25 + 1e-5
    assert (seen[:, :2] >= 0).all()
    assert (seen[:, :2] + seen[:, 2:] <= 1 + 1e-6).all()


def test_erasing_takes_one_rectangle_of_the_wanted_size() -> None:
    recipe = Augment(erase=1.0, erase_area=(0.2, 0.2))
    gone = (trained(recipe, 200) == 0).all(1).float().mean((1, 2))
    assert float(gone.mean()) == pytest.approx(0.2, abs=0.02)  # whole pixels of 16
    assert float((trained(dataclasses.replace(recipe, erase=0.25), 400) == 0).all(1).any(2).any(1).float().mean()) < 0.4


def test_jitter_leaves_grey_pictures_grey_and_in_range() -> None:
    recipe = Augment(jitter=(0.4, 0.4, 0.4, 0.1), grey=0.2)
    colour, grey = trained(recipe), trained(recipe, channels=1)
    assert 0 <= float(colour.min()) <= float(colour.max()) <= 1
    assert torch.equal(grey[:, 0], grey[:, 2])
    lost = torch.isclose(colour[:, 0], colour[:, 1], atol=1e-4).flatten(1).all(1).float().mean()
    assert 0.05 < float(lost) < 0.4


def test_a_turn_of_hue_by_nothing_changes_nothing() -> None:
    pictures = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(augment.turned_hue(pictures, torch.zeros(2)), pictures, atol=1e-4)
    grey = torch.full((1, 3, 4, 4), 0.4)
    assert torch.allclose(augment.turned_hue(grey, torch.tensor([1.0])), grey, atol=1e-3)  # grey has no hue


TONES = {
    "invert": [255, 155, 55, 0],
    "solarise": [0, 100, 55, 0],  # above half
    "posterise": [0, 100, 200, 252],  # two bits lost
    "auto-contrast": [0, 100, 200, 255],
    "equalise": [0, 85, 170, 255],
}


@pytest.mark.parametrize("name", TONES)
def test_tones_are_changed_as_pil_changes_them(name: str) -> None:
    pictures = torch.tensor([0, 100, 200, 255.0]).view(1, 1, 2, 2) / 255
    chosen = torch.full((1, 1), len(random_augment.GEOMETRIC) + random_augment.TONAL.index(name))
    seen = random_augment.tones(pictures, (chosen, torch.ones(1, 1, dtype=torch.long)), 5) * 255
    assert seen.flatten().tolist() == pytest.approx(TONES[name], abs=0.51)


def test_geometric_operations_move_and_tonal_ones_do_not() -> None:
    for operation in range(len(random_augment.GEOMETRIC) + len(random_augment.TONAL)):
        draws = (torch.full((1, 1), operation), torch.ones(1, 1, dtype=torch.long))
        moved = not torch.allclose(random_augment.moves(draws, 5), torch.eye(2, 3)[None], atol=1e-6)
        assert moved == (operation < len(random_augment.GEOMETRIC))
