"""Which frequencies of a 7 x 7 grid FcaNet's channel groups look at: the published lists.

Source: Qin et al., FcaNet (ICCV 2021), sec. 3.3 and fig. 4-6; the values are `get_freq_indices` of cfzd/FcaNet
`model/layer.py` (MIT). «top»: best alone on ImageNet first; «low»: lowest first; «bot»: worst alone first.
"""

from collections.abc import Sequence

from contract.errors import BadRequest

Frequency = tuple[int, int]
"""(along the height, along the width), each 0..6."""

GRID = 7  # side of the smallest map of a ResNet at 224
COUNTS = (1, 2, 4, 8, 16, 32)

# One digit per frequency: along the height, then along the width.
_ORDERED = {
    "top": ("00600114513000324635526553342261", "01052020060463526333511242113053"),
    "low": ("00110221203401301234501234561234", "01012012230043154321065432106543"),
    "bot": ("61332412445146256162243355625536", "64466314456522514350311242115333"),
}

PUBLISHED: dict[str, tuple[Frequency, ...]] = {
    f"{order}{count}": tuple((int(u), int(v)) for u, v in zip(height[:count], width[:count], strict=True))
    for order, (height, width) in _ORDERED.items()
    for count in COUNTS
}
PUBLISHED |= {"lf": PUBLISHED["low2"], "ts": PUBLISHED["top16"]}  # the paper's best of its two first criteria


def published(name: str) -> tuple[Frequency, ...]:
    """The frequencies of a published list, such as `top16`; `lf` and `ts` are the paper's choices.

    Raises:
        BadRequest: there is no such list; the message names all.
    """
    if name not in PUBLISHED:
        raise BadRequest(f"frequencies={name!r} is not a published list; there is nas, {', '.join(PUBLISHED)}")
    return PUBLISHED[name]


def checked(frequencies: Sequence[Frequency]) -> tuple[Frequency, ...]:
    """The given pairs, when each lies on the grid.

    Raises:
        BadRequest: there is none, or one lies outside.
    """
    pairs = tuple((u, v) for u, v in frequencies)
    outside = [pair for pair in pairs if not all(0 <= index < GRID for index in pair)]
    if not pairs or outside:
        raise BadRequest(f"frequencies must be pairs in 0..{GRID - 1}; seen {outside or 'none'}")
    return pairs


def on_side(index: int, side: int) -> int:
    """A grid index as a frequency of a map of this side.

    From 7 up it is multiplied by side // 7, as released, so (1, 1) of a 7 x 7 map is (2, 2) of a 14 x 14 one.
    Below 7 that factor would be 0 and every frequency silently the mean; there the index shrinks with the map,
    index * side // 7, which the paper and the release do not treat.
    """
    return index * (side // GRID) if side >= GRID else index * side // GRID
