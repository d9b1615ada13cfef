"""FcaNet: a ResNet whose every unit weighs its channels by a few frequencies of their maps."""

import copy
from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn

from contract.errors import BadRequest
from models.nets.checks import at_least, one_of
from models.nets.layers.frequencies import GRID, Frequency, checked, published
from models.nets.layers.resnet import PLANS, ResNetTrunk, map_side
from models.nets.layers.spectral_attention import SearchedSum, SpectralAttention, SpectralPlan, SpectralSum

RELEASED_SIDES = (56, 28, 14, 7)  # DCT side per stage


class FcaNet(ResNetTrunk):
    """Logits of classes: (B, 3, edge, edge) float, RGB, normalised -> (B, classes).

    Source: Qin, Zhang, Wu & Li, FcaNet: Frequency Channel Attention Networks (ICCV 2021; the final text, not arXiv
    v1-v3); cfzd/FcaNet `model/fcanet.py` and `model/layer.py` (MIT), whose entry names and order are kept. Made for
    ImageNet: faces are this project's own use. Where sources differ or leave it open:

    * `frequencies`: a published list (`ts` = top16 as released, `lf` = low2, top/low/bot with 1..32), `nas` to search
      in training, or pairs of one's own: one list for all units, or one list per unit as `found_frequencies` gives.
    * `dct="map"`: the DCT is as large as the real maps (28, 14, 7, 4 at 112); `"released"`: 56, 28, 14, 7 whatever
      the input, smaller maps being enlarged by adaptive average pooling; `"seven"`: 7 everywhere, the authors' other
      advice. At 224 the first two are the same.
    * `basis="orthonormal"` as released and in its checkpoints; `"paper"`: without scale, so frequency (0, 0) is the
      plain sum, as in the paper's equation.
    """

    def __init__(
        self,
        *,
        depth: int,
        classes: int = 1000,
        edge: int = 224,
        frequencies: str | Sequence[Frequency] | Sequence[Sequence[Frequency]] = "top16",
        dct: str = "map",
        basis: str = "orthonormal",
    ) -> None:
        plan = PLANS[depth]
        at_least("classes", classes, 1)
        one_of("dct", dct, ("map", "released", "seven"))
        orthonormal = one_of("basis", basis, ("orthonormal", "paper")) == "orthonormal"
        at_least("edge", edge, 32)
        lists = iter(frequency_lists(frequencies, sum(plan.units)))

        def attention(stage: int, channels: int) -> SpectralAttention:
            maps = map_side(edge, stage)
            side = {"map": maps, "released": RELEASED_SIDES[stage], "seven": GRID}[dct]
            return SpectralAttention(channels, SpectralPlan(next(lists), side, maps, orthonormal))

        super().__init__(plan, lambda stage: partial(attention, stage))
        self.edge = edge
        self.fc = nn.Linear(plan.channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        logits: Tensor = self.fc(self.maps(x).mean((2, 3)))
        return logits

    def attentions(self) -> list[SpectralAttention]:
        """The channel attentions, first unit first."""
        return [module for module in self.modules() if isinstance(module, SpectralAttention)]

    def channel_weights(self, x: Tensor) -> list[Tensor]:
        """The attentions' weights for a picture, first unit first: each (B, channels) in 0..1."""
        seen: list[Tensor] = []
        hooks = [each.fc.register_forward_hook(lambda _m, _i, out: seen.append(out)) for each in self.attentions()]
        try:
            self.maps(x)
        finally:
            for hook in hooks:
                hook.remove()
        return seen

    def found_frequencies(self) -> tuple[tuple[Frequency, ...], ...]:
        """The frequencies per unit, searched or given: what a final net is built with after a search."""
        sums = (attention.dct_layer for attention in self.attentions())
        return tuple(each.found() if isinstance(each, SearchedSum) else each.frequencies for each in sums)

    def inference(self) -> "FcaNet":
        """A copy in eval mode that keeps only the different planes of each stage."""
        net = copy.deepcopy(self).eval().requires_grad_(False)
        for module in net.modules():
            if isinstance(module, SpectralSum):
                module.register_buffer("weight", None)
        return net


def frequency_lists(
    wanted: str | Sequence[Frequency] | Sequence[Sequence[Frequency]], units: int
) -> list[tuple[Frequency, ...] | None]:
    """One list per unit; None where the frequencies are to be searched.

    Raises:
        BadRequest: no such list, a pair outside the grid, or not one list per unit.
    """
    if wanted == "nas":
        return [None] * units
    if isinstance(wanted, str):
        return [published(wanted)] * units
    if wanted and isinstance(wanted[0][0], int):
        return [checked(wanted)] * units  # type: ignore[arg-type]
    return _per_unit(wanted, units)  # type: ignore[arg-type]


def _per_unit(wanted: Sequence[Sequence[Frequency]], units: int) -> list[tuple[Frequency, ...] | None]:
    if len(wanted) != units:
        raise BadRequest(f"frequencies holds {len(wanted)} lists; this net has {units} units")
    return [checked(each) for each in wanted]
