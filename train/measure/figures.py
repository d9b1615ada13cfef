"""What each net looks at: one figure of the four nets' maps on one face.

    python -m train.measure.figures PICTURE OUT.png

The nets carry seeded random weights unless a checkpoint is given (`--weights NET=FILE`), and the figure says so.
"""

import argparse
from pathlib import Path
from typing import Any

import cv2
import matplotlib as mpl
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from contract.errors import BadRequest, BadSource
from ingest.faces.align import cut
from ingest.faces.detect import STILL_LONG_SIDE, CenterFace
from models.nets import build
from models.nets.reference_weights import load_reference_weights

mpl.use("Agg")
from matplotlib import pyplot as plt

SEED = 7
DRML_BORDER = 5 / 170  # the first convolution, 11×11 without padding, takes five pixels on each side
NETS: dict[str, dict[str, Any]] = {
    "dacl": {"classes": 8, "edge": 224},
    "transfer": {"classes": 8},
    "fcanet34": {"classes": 8, "edge": 224},
    "drml": {"units": 12},
}


def main() -> None:
    """Draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--weights", action="append", default=[], metavar="NET=FILE", help="a checkpoint for a net")
    options = parser.parse_args()
    weights = dict(item.split("=", 1) for item in options.weights)
    crop = crop_of(options.picture)
    nets = {name: loaded(name, weights.get(name)) for name in NETS}
    draw(crop, nets, set(weights)).savefig(options.out, dpi=80, bbox_inches="tight", facecolor="white")
    print(f"written: {options.out}")


def crop_of(picture: Path) -> NDArray[np.uint8]:
    """(224, 224, 3) crop of the strongest face in a picture.

    Raises:
        BadSource: no picture, or no face in it.
    """
    read = cv2.imread(str(picture))
    if read is None:
        raise BadSource(f"{picture}: no picture that can be read")
    frame = np.ascontiguousarray(read[..., ::-1], np.uint8)
    faces = CenterFace(STILL_LONG_SIDE)(frame)
    if not faces:
        raise BadSource(f"{picture}: no face in this picture")
    return cut(frame, faces[0].landmarks, 224)


def loaded(name: str, weights: str | None) -> nn.Module:
    """The net in eval mode, with a checkpoint's weights or seeded random ones.

    Raises:
        BadRequest: the figure has no such net.
    """
    if name not in NETS:
        raise BadRequest(f"no net {name!r} in this figure; there are {', '.join(NETS)}")
    torch.manual_seed(SEED)
    net: nn.Module = build(name, **NETS[name]).eval()
    if weights is not None:
        load_reference_weights(net, Path(weights))
    return net


def draw(crop: NDArray[np.uint8], nets: dict[str, Any], trained: set[str]) -> Any:
    """One row per net: the crop, and what the net makes of it."""
    figure, axes = plt.subplots(1, 5, figsize=(17, 3.9), layout="constrained", width_ratios=(1, 1, 1, 1, 1.5))
    mpl.rcParams["axes.titlesize"] = 10
    for axis in axes[:4]:
        axis.set_axis_off()
    with torch.inference_mode():
        axes[0].imshow(crop)
        axes[0].set_title("the crop")
        _overlay(axes[1], crop, _transfer_map(nets["transfer"], crop))
        axes[1].set_title(f"TransFER{_note('transfer', trained)}\nlarger of two local attention maps")
        _overlay(axes[2], crop, _drml_map(nets["drml"], crop), DRML_BORDER)
        axes[2].set_title(f"DRML{_note('drml', trained)}\nwhat its 8 × 8 regions add")
        _grid(axes[2], 8, DRML_BORDER)
        _dacl(axes[3], nets["dacl"], crop)
        axes[3].set_title(f"DACL{_note('dacl', trained)}\nattention of 512 features")
        _fcanet(axes[4], nets["fcanet34"], crop)
        axes[4].set_title(f"FcaNet-34{_note('fcanet34', trained)}\nweights of its channels by frequency, last unit")
    return figure


def _note(name: str, trained: set[str]) -> str:
    return "" if name in trained else " (random weights)"


def _tensor(crop: NDArray[np.uint8], edge: int) -> Tensor:
    """(1, 3, edge, edge), 0..1 about zero."""
    small = cv2.resize(crop, (edge, edge), interpolation=cv2.INTER_AREA)
    return torch.from_numpy(np.asarray(small, np.float32)).permute(2, 0, 1)[None] / 255 - 0.5


def _transfer_map(net: Any, crop: NDArray[np.uint8]) -> NDArray[np.float32]:
    maps: Tensor = net.local_attention(_tensor(crop, 112))  # (1, 2, 14, 14)
    return maps.amax(1)[0].numpy()


def _drml_map(net: Any, crop: NDArray[np.uint8]) -> NDArray[np.float32]:
    added: Tensor = net.region_response(_tensor(crop, 170))  # (1, 32, 160, 160)
    return added.abs().mean(1)[0].numpy()


def _overlay(axis: Any, crop: NDArray[np.uint8], values: NDArray[np.float32], border: float = 0.0) -> None:
    """The map over the grey crop; `border` is the share of the edge that the map does not reach on each side."""
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    axis.imshow(grey, cmap="gray", extent=(0, 1, 1, 0))
    inner = (border, 1 - border, 1 - border, border)
    axis.imshow(values, cmap="inferno", alpha=0.6, extent=inner, interpolation="bilinear")
    axis.set(xlim=(0, 1), ylim=(1, 0))


def _grid(axis: Any, cells: int, border: float) -> None:
    for line in np.linspace(border, 1 - border, cells + 1):
        axis.plot([line, line], [border, 1 - border], color="white", linewidth=0.4, alpha=0.7)
        axis.plot([border, 1 - border], [line, line], color="white", linewidth=0.4, alpha=0.7)


def _dacl(axis: Any, net: Any, crop: NDArray[np.uint8]) -> None:
    attention = net.with_attention(_tensor(crop, 224)).attention[0].numpy().reshape(16, 32)
    shown = axis.imshow(attention, cmap="viridis", aspect="auto")
    axis.figure.colorbar(shown, ax=axis, shrink=0.8)


def _fcanet(axis: Any, net: Any, crop: NDArray[np.uint8]) -> None:
    weights = net.channel_weights(_tensor(crop, 224))[-1][0].numpy()  # (512,)
    frequencies = net.found_frequencies()[-1]
    by_frequency = weights.reshape(len(frequencies), -1)  # (16, 32): consecutive groups of channels
    axis.boxplot(by_frequency.T, whis=(0, 100), widths=0.6, medianprops={"color": "#d55e00"})
    axis.set_xticks(range(1, len(frequencies) + 1), [f"{u},{v}" for u, v in frequencies], rotation=60, fontsize=7)
    axis.set_xlabel("frequency (height, width)")
    axis.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main()
