"""Weights of the public implementations, fitted to the nets here: names mapped, every entry checked, then loaded."""

import re
from pathlib import Path

from torch import Tensor, nn

from contract.errors import BadRequest, WeightsDoNotFit
from models.nets.checkpoint_file import read_tensors
from models.nets.dacl import DACL, FOR_THE_LOSS
from models.nets.layers.spectral_attention import SpectralSum
from models.nets.transfer import TransFER

BACKBONE = ("conv1.", "bn1.", "layer1.", "layer2.", "layer3.", "layer4.", "extractor.")
COUNTER = "num_batches_tracked"  # old and Paddle checkpoints lack it; no forward pass reads it
BASIS = "dct_layer.weight"  # constants, not learnt
PARTS = ("all", "backbone", "inference")


def load_reference_weights(net: nn.Module, path: Path, *, part: str = "all") -> tuple[str, ...]:
    """Load a public checkpoint into the net and name the entries that it did not give.

    Known forms: DACL's `{"model_state_dict": ...}` with `module.` names; FcaNet's raw or `{"state_dict": ...}`;
    YIUYA's and AlexHex7's DRML; TransFER's Paddle release (converted, see the error for `.pdparams`) and the names
    of its PyTorch port; anything saved from a net of this package.

    `part="backbone"` loads only what stands before the net's own parts and leaves the rest as it is: the trunk of
    DACL and FcaNet (MS-Celeb-1M or ImageNet ResNets), the stem of TransFER (face.evoLVe's IR-50), DRML's
    convolutions. Unlike the released `strict=False`, it refuses a file that does not have all of that part.

    `part="inference"` loads all that answers: DACL from a ResNet-18 with its classifier, without the attention that
    only its loss needs. Of the other nets that is everything.

    Nothing is changed unless everything fits.

    Raises:
        WeightsDoNotFit: the file cannot be read safely, or an entry is missing, too many, of another shape, or made
            with other DCT frequencies; the message names the first in the net's order.
        BadRequest: no such part.
    """
    if part not in PARTS:
        raise BadRequest(f"part={part!r} is not known; there is {', '.join(PARTS)}")
    given = read_tensors(path)
    if isinstance(net, TransFER):
        given = transfer_names(net, given)
    own = net.state_dict()
    wanted = [name for name in own if _belongs(net, name, part)]
    taken: dict[str, Tensor] = {}
    for name in wanted:
        if name in given:
            taken[name] = given[name]
            _check(path, name, own[name], given[name])
        elif not name.endswith(COUNTER):
            raise WeightsDoNotFit(f"{path}: {name} {_shape(own[name])} is missing among {len(given)} entries")
    surplus = [name for name in given if name not in own]
    if part != "backbone" and surplus:
        raise WeightsDoNotFit(f"{path}: {surplus[0]} {_shape(given[surplus[0]])} has no place in {type(net).__name__}")
    if part != "backbone":
        _check_basis(path, net, taken)
    net.load_state_dict({**own, **taken})
    return tuple(name for name in own if name not in taken)


def _belongs(net: nn.Module, name: str, part: str) -> bool:
    if part == "backbone":
        return name.startswith(BACKBONE) and not name.endswith(BASIS)
    return part == "all" or not (isinstance(net, DACL) and name.startswith(FOR_THE_LOSS))


def transfer_names(net: TransFER, given: dict[str, Tensor]) -> dict[str, Tensor]:
    """Entries of TransFER's releases under the names used here.

    Paddle (recognised by BN's `_mean`) names statistics and PReLU differently and keeps linear weights as
    (inputs, outputs); the PyTorch port counts stem units within stages; face.evoLVe has no `extractor.` before them
    and a fourth stage and an output layer, which TransFER leaves out.
    """
    if any(name.endswith("._mean") for name in given):
        given = _from_paddle(net, given)
    if any(name.startswith("input_layer.") for name in given):
        body = [
            name for name in given if name.startswith("body.") and int(name.split(".")[1]) < len(net.extractor.body)
        ]
        kept = [*(name for name in given if name.startswith("input_layer.")), *body]
        given = {f"extractor.{name}": given[name] for name in kept}
    return {_unit_name(net, name): tensor for name, tensor in given.items()}


def _from_paddle(net: TransFER, given: dict[str, Tensor]) -> dict[str, Tensor]:
    linear = {f"{name}.weight" for name, module in net.named_modules() if isinstance(module, nn.Linear)}
    renamed = {}
    for name, tensor in given.items():
        stem, _, last = name.rpartition(".")
        last = {"_mean": "running_mean", "_variance": "running_var", "_weight": "weight"}.get(last, last)
        renamed[f"{stem}.{last}" if stem else last] = tensor
    return {name: tensor.T if name in linear and tensor.dim() == 2 else tensor for name, tensor in renamed.items()}


def _unit_name(net: TransFER, name: str) -> str:
    """`extractor.body.STAGE.UNIT.rest` of the PyTorch port as `extractor.body.INDEX.rest`."""
    match = re.fullmatch(r"extractor\.body\.(\d+)\.(\d+)\.(\w+_layer\..*)", name)
    if not match or int(match[1]) >= len(net.extractor.units):
        return name
    return f"extractor.body.{sum(net.extractor.units[: int(match[1])]) + int(match[2])}.{match[3]}"


def _check(path: Path, name: str, mine: Tensor, given: Tensor) -> None:
    if mine.shape == given.shape:
        return
    hint = "; its DCT is of another size: build the net with dct='released'" if name.endswith(BASIS) else ""
    raise WeightsDoNotFit(f"{path}: {name} is {_shape(given)}, wanted {_shape(mine)}{hint}")


def _check_basis(path: Path, net: nn.Module, taken: dict[str, Tensor]) -> None:
    """Refuse a checkpoint whose DCT planes are not this net's: they are constants here and would be ignored."""
    for name, module in net.named_modules():
        if isinstance(module, SpectralSum):
            entry = f"{name}.weight"
            off = (taken[entry] - module.get_buffer("weight")).abs().max().item()
            if not off < 1e-3:  # half precision rounds to 2e-4 of at most 1; another frequency is off by its size
                raise WeightsDoNotFit(
                    f"{path}: {entry} holds other frequencies than {module.frequencies} (by {off:.2g})"
                )


def _shape(tensor: Tensor) -> str:
    return f"({', '.join(str(side) for side in tensor.shape)})"
