"""What cameras do: everything that comes out is a grey picture, and no two are alike."""

import numpy as np

from train.data.synthetic.picture import seen_by_a_camera


def test_a_picture_repeats_with_its_seed_and_differs_with_another() -> None:
    crop = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)

    first, same, other = (seen_by_a_camera(crop, np.random.default_rng(seed)) for seed in (1, 1, 2))

    assert first.shape == (64, 64)
    assert first.dtype == np.uint8
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)


def test_tones_change_but_a_face_stays_what_it_is() -> None:
    ramp = np.repeat(np.linspace(40, 210, 64).astype(np.uint8)[:, None], 64, axis=1)
    crop = np.repeat(ramp[..., None], 3, axis=2)

    likeness = [
        np.corrcoef(seen_by_a_camera(crop, np.random.default_rng(seed)).ravel(), ramp.ravel())[0, 1]
        for seed in range(30)
    ]

    assert min(likeness) > 0.9
