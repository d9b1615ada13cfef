"""DRML: action units from a shallow net whose second layer looks at each region of the face with its own filters."""

import copy

from torch import Tensor, nn

from contract.errors import BadRequest
from models.nets.checks import at_least, one_of
from models.nets.layers.region import GRID, RegionLayer


class DRML(nn.Module):
    """Logits of action units: (B, 3, edge, edge) float -> (B, units); a probability is the sigmoid of a logit.

    Source: Zhao, Chu & Zhang, Deep Region and Multi-label Learning for Facial Action Unit Detection (CVPR 2016),
    fig. 2; zkl20061823/DRML `prototxt/DRML.prototxt`; YIUYA/DRML `model/DRML.py` and AlexHex7/DRML_pytorch
    `lib/network.py` (no licence files; nothing copied), whose entry names and order are kept. The first convolution
    has no ReLU; it stands behind the region layer's sum. Where the sources differ:

    * `norm="lrn"` (Caffe release, YIUYA), `"batch"` (AlexHex7), `"none"` (the paper names no normalisation here).
    * `cells="affine"` (both PyTorch ports), `"plain"` (Caffe release: BN without scale and shift).
    * `init="torch"` (both ports) suits input around 0..1; `"caffe"` is the prototxt's, made for 0..255 less the mean.

    Both ports decide by a raw logit above 0.5 or 0.8, that is a probability above 0.62 or 0.69.
    """

    def __init__(
        self,
        *,
        units: int = 12,
        edge: int = 170,
        norm: str = "lrn",
        cells: str = "affine",
        init: str = "torch",
        hidden: tuple[int, int] = (4096, 2048),
    ) -> None:
        super().__init__()
        at_least("units", units, 1)
        affine = one_of("cells", cells, ("affine", "plain")) == "affine"
        one_of("init", init, ("torch", "caffe"))
        self.edge = edge
        self.extractor = nn.Sequential(
            nn.Conv2d(3, 32, 11),
            RegionLayer(32, affine=affine),
            nn.ReLU(),
            nn.MaxPool2d(2),
            middle_norm(norm),
            nn.Conv2d(32, 16, 8),
            nn.ReLU(),
            nn.Conv2d(16, 16, 8),
            nn.ReLU(),
            nn.Conv2d(16, 16, 6, 2),
            nn.ReLU(),
            nn.Conv2d(16, 16, 5),
            nn.ReLU(),
        )
        self.classifier = nn.Sequential(
            nn.Linear(16 * last_side(edge) ** 2, hidden[0]),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(*hidden),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(hidden[1], units),
        )
        if init == "caffe":
            init_as_caffe(self)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        x = self.extractor(x)  # (B, 16, 27, 27) at 170
        logits: Tensor = self.classifier(x.flatten(1))
        return logits

    def region_response(self, x: Tensor) -> Tensor:
        """What the region layer adds to the first maps: (B, 3, E, E) -> (B, 32, E - 10, E - 10)."""
        region = self.extractor[1]
        assert isinstance(region, RegionLayer)
        return region.residual(self.extractor[0](x))

    def inference(self) -> "DRML":
        """A copy in eval mode without dropout, its region layer made of stock modules."""
        net = copy.deepcopy(self).requires_grad_(False)
        region = net.extractor[1]
        assert isinstance(region, RegionLayer)
        net.extractor[1] = region.inference()
        net.classifier[2] = net.classifier[5] = nn.Identity()
        return net.eval()


def middle_norm(name: str) -> nn.Module:
    """What normalises the 32 maps after the pooling."""
    one_of("norm", name, ("lrn", "batch", "none"))
    if name == "lrn":
        return nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)
    return nn.BatchNorm2d(32) if name == "batch" else nn.Identity()


def last_side(edge: int) -> int:
    """Side of the last map: 27 at 170.

    Raises:
        BadRequest: the grid does not divide the first map, or nothing is left of the last one.
    """
    first = at_least("edge", edge, 1) - 10
    side = (first // 2 - 14 - 6) // 2 + 1 - 4
    if first % GRID or side < 1:
        raise BadRequest(f"edge={edge} does not fit DRML: edge - 10 must be a multiple of {GRID}, edge at least 66")
    return side


def init_as_caffe(net: DRML) -> None:
    """Set the initial values of the Caffe release (`prototxt/DRML.prototxt`)."""
    plan = {"classifier.0": (0.005, 1.0), "classifier.3": (0.005, 1.0), "classifier.6": (0.01, 0.0)}
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear | RegionLayer):
            std, bias = plan.get(name, (0.01, 0.0 if name == "extractor.0" else 1.0))
            nn.init.normal_(module.weight, std=std)
            if module.bias is not None:
                nn.init.constant_(module.bias, bias)
