import av
import numpy as np
import pytest

from contract.errors import BadOutput
from mien.demo import View, film, make_demonstration, read_portrait


def test_the_portrait_is_upright_colour():
    portrait = read_portrait()

    assert portrait.shape == (512, 512, 3)
    assert portrait.dtype == np.uint8


@pytest.mark.parametrize("centre", [(0.0, 0.0), (512.0, 512.0), (256.0, 0.0)])
def test_a_view_never_looks_beyond_the_photograph(centre):
    inside = View(centre, 2.0).inside((512, 512), (320, 240))
    x, y = inside.centre_xy

    assert 80 <= x <= 432
    assert 60 <= y <= 452
    assert inside.zoom == 2.0


def test_a_film_has_the_length_and_the_size_that_were_asked_for(tmp_path):
    path = tmp_path / "x.mp4"

    film(path, read_portrait(), lambda t: View((256.0, 256.0), 1.0), seconds=1.0, size_wh=(160, 120))

    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    assert len(frames) == 25
    assert (frames[0].width, frames[0].height) == (160, 120)


def test_a_clip_that_cannot_be_written_is_one_line_and_leaves_nothing(tmp_path):
    with pytest.raises(BadOutput) as caught:
        make_demonstration(tmp_path / "missing" / "x.mp4")

    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
