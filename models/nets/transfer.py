"""TransFER: local attention maps over a face-recognition stem, read by a transformer that may lose any of them."""

import copy
from collections import OrderedDict

from torch import Tensor, nn

from contract.errors import BadRequest
from models.nets.checks import at_least, one_of, probability
from models.nets.layers.ir_stem import IRStem
from models.nets.layers.local_attention import LocalAttention, MaskedTokens
from models.nets.layers.self_attention import SelfAttention
from models.nets.layers.transformer import TokenTransformer


class TransFER(nn.Module):
    """Logits of expressions: (B, 3, edge, edge) float, RGB, normalised -> (B, classes).

    Source: Xue, Wang & Guo, TransFER: Learning Relation-aware Facial Expression Representations with Transformers
    (ICCV 2021); youqingxiaozhua/APViT `Paddle/ppcls/arch/backbone/model_zoo/trans_fer.py` (Apache-2.0), whose entry
    names and order are kept. Where paper and release differ:

    * `msad="head"` (paper) zeroes a head; `msad="token"` (release) zeroes one of the first tokens.
    * `mask="input"` (paper, Paddle release) projects X * M; `mask="output"` (PyTorch release) dims the projection.
    * `local_norm="batch"` (release; the published 65,217,869 parameters) has BN in the LANets, `"none"` (formula) not.
    * `qk_scale`: (width / heads)^-0.5 as released; timm's first small checkpoint was trained with 768^-0.5.
    * `head="zero"` (release) starts the classifier at zero, so an untrained net answers 0 to every picture;
      `head="random"` starts it like the other linear layers.

    `mad` and `msad_rate` are the paper's p1 and p2: 0.6 and 0.3 for RAF-DB and FERPlus, 0.2 and 0.6 for AffectNet.
    """

    def __init__(
        self,
        *,
        classes: int = 7,
        edge: int = 112,
        maps: int = 2,
        mad: float = 0.6,
        msad_rate: float = 0.3,
        msad: str = "head",
        mask: str = "input",
        local_norm: str = "batch",
        head: str = "zero",
        qk_scale: float | None = None,
        stem_units: tuple[int, int, int] = (3, 4, 14),
        width: int = 768,
        depth: int = 8,
        heads: int = 8,
        mlp_ratio: int = 3,
    ) -> None:
        super().__init__()
        if at_least("width", width, 1) % at_least("heads", heads, 1):
            raise BadRequest(f"width={width} must be divisible by heads={heads}")
        norm = one_of("local_norm", local_norm, ("batch", "none")) == "batch"
        one_of("msad", msad, ("head", "token"))
        one_of("mask", mask, ("input", "output"))
        one_of("head", head, ("zero", "random"))
        probability("msad_rate", msad_rate)
        self.edge = at_least("edge", edge, 8)
        side = -(-edge // 8)

        def attention() -> SelfAttention:
            return SelfAttention(width, heads, drop=msad_rate, msad=msad, scale=qk_scale)

        self.extractor = IRStem(stem_units)
        self.attention = LocalAttention(256, at_least("maps", maps, 1), norm=norm)
        self.convert = MaskedTokens(256, width, drop=probability("mad", mad), mask=mask)
        self.vit = TokenTransformer(side * side, width, at_least("depth", depth, 1), attention, mlp_ratio=mlp_ratio)
        classifier = nn.Linear(width, at_least("classes", classes, 1))
        self.head = nn.Sequential(OrderedDict(fc=classifier))
        nn.init.zeros_(classifier.bias)
        if head == "zero":
            nn.init.zeros_(classifier.weight)
        else:
            nn.init.trunc_normal_(classifier.weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Logits; draws which attentions are dropped, in training, from torch's generator."""
        x = self.extractor(x)  # (B, 256, E / 8, E / 8)
        tokens = self.convert(x, self.attention(x))  # (B, (E / 8)^2, width)
        logits: Tensor = self.head(self.vit(tokens))
        return logits

    def local_attention(self, x: Tensor) -> Tensor:
        """The LANets' maps before any dropping: (B, 3, E, E) -> (B, maps, E / 8, E / 8) in 0..1."""
        maps: Tensor = self.attention(self.extractor(x))
        return maps

    def inference(self) -> "TransFER":
        """A copy in eval mode whose MAD and MSAD are gone."""
        net = copy.deepcopy(self).requires_grad_(False)
        for module in net.modules():
            if isinstance(module, MaskedTokens | SelfAttention):
                module.drop = nn.Identity()
        return net.eval()
