import numpy as np
import pytest

from ingest.faces.appearance import looks

BOX = np.array([100, 80, 40, 50], np.float32)


def scene(*people):
    """Heads and shoulders in plain colours, later ones in front, on noise."""
    picture = np.random.default_rng(0).integers(100, 140, (240, 320, 3), np.uint8)
    for box, colour in people:
        x, y, width, height = box.astype(int)
        picture[y - height // 3 : y + height, x - width // 10 : x + width + width // 10] = colour
        picture[y + height : y + 3 * height, x - width // 2 : x + width + width // 2] = colour
    return picture


def test_a_person_looks_like_themselves_elsewhere():
    there = BOX + np.array([60, 30, 10, 12], np.float32)
    one = looks(scene((BOX, (180, 60, 50))), BOX[None])[0]
    other = looks(scene((there, (180, 60, 50))), there[None])[0]

    assert one.distances(other) == pytest.approx([0.0, 0.0, 0.0], abs=0.05)
    assert other.seen == pytest.approx([1.0, 1.0, 1.0], abs=0.1)
    assert one.clear


def test_other_colours_are_far_away():
    one, other = (looks(scene((BOX, colour)), BOX[None])[0] for colour in ((180, 60, 50), (50, 60, 180)))

    assert one.distances(other).min() > 0.9


def test_what_a_nearer_person_covers_does_not_count():
    nearer = BOX + np.array([28, 10, 10, 12], np.float32)
    alone = looks(scene((BOX, (180, 60, 50))), BOX[None])[0]

    behind = looks(scene((BOX, (180, 60, 50)), (nearer, (50, 60, 180))), np.stack([BOX, nearer]))[0]

    assert not behind.clear
    assert behind.seen.max() < 0.8
    assert alone.distances(behind)[behind.seen > 0].max() < 0.25


@pytest.mark.parametrize("x", [0.0, 278.0])
def test_a_face_at_the_edge_is_not_clear(x):
    box = np.array([x, 80, 40, 50], np.float32)

    assert not looks(scene((BOX, (180, 60, 50))), box[None])[0].clear


def test_a_clear_look_is_not_mixed_with_an_unclear_one():
    nearer = BOX + np.array([28, 10, 10, 12], np.float32)
    clear = looks(scene((BOX, (180, 60, 50))), BOX[None])[0]
    unclear = looks(scene((BOX, (180, 60, 50)), (nearer, (50, 60, 180))), np.stack([BOX, nearer]))[0]

    assert clear.blended(unclear, 0.5) is clear
    assert unclear.blended(clear, 0.1) is clear


def test_nothing_is_seen_outside_the_picture():
    look = looks(scene(), np.array([[-500, -500, 40, 50]], np.float32))[0]

    assert look.seen.tolist() == [0, 0, 0]
