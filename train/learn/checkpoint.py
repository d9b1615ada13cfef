"""What a run leaves on the disk: checkpoints, from which it goes on exactly, and weights, from which a net is built.

Both are safetensors with a JSON note; nothing in them is run.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from contract.errors import BadRequest, WeightsDoNotFit
from models.nets import build, entry
from models.nets.dacl import DACL, FOR_THE_LOSS
from train.learn.tensors import read_tensors, write_tensors
from train.recipe import Recipe

CHECKPOINT, WEIGHTS = "mien.checkpoint/1", "mien.weights/1"
Tensors = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsNote:
    """All that is needed to build, feed and judge a net."""

    name: str  # of the recipe
    net: str  # of models.nets
    options: dict[str, Any]  # of models.nets.build, edge and number of outputs included
    task: str  # «expressions» or «action_units»
    labels: tuple[str, ...]
    edge: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    grey: bool
    centre: float  # share of the crop's edge that the net was judged on
    data: str
    data_sha256: str
    faces: int  # trained on
    epoch: int
    temperature: float = 1.0
    thresholds: tuple[float, ...] = ()  # of units, chosen on validation
    measurements: dict[str, float] = dataclasses.field(default_factory=dict)
    trained: str = ""  # how long, on what


def write_weights(path: Path, entries: Tensors, note: WeightsNote) -> None:
    """Write a net's entries with what is known of it."""
    write_tensors(path, entries, {"schema": WEIGHTS, **dataclasses.asdict(note)})


def entries_of(net: nn.Module) -> dict[str, Tensor]:
    """A net's entries without those that only its loss needs (89 % of DACL's)."""
    drops = FOR_THE_LOSS if isinstance(net, DACL) else ()
    return {name: each.detach().clone() for name, each in net.state_dict().items() if not name.startswith(drops)}


def read_weights(path: Path) -> tuple[nn.Module, WeightsNote]:
    """The net in eval mode on the CPU, and its note; DACL comes as its inference graph.

    Raises:
        WeightsDoNotFit: no file of weights of this project, or of another net than it says.
    """
    entries, raw = read_tensors(path)
    if raw.get("schema") != WEIGHTS:
        raise WeightsDoNotFit(f"{path}: schema {raw.get('schema')!r}, wanted {WEIGHTS} as `mien train` writes it")
    note = note_of(path, raw)
    net = build(note.net, **note.options)
    net = net.inference() if isinstance(net, DACL) else net
    fitted(path, net, entries)
    return net.eval(), note


def note_of(path: Path, raw: Mapping[str, Any]) -> WeightsNote:
    """The note of a file of weights.

    Raises:
        WeightsDoNotFit: the note lacks what every set of weights states.
    """
    known = {each.name for each in dataclasses.fields(WeightsNote)}
    try:
        fields: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in raw.items()
        }
        note = WeightsNote(**{name: value for name, value in fields.items() if name in known})
    except TypeError as error:
        raise WeightsDoNotFit(f"{path}: its note is not whole ({error})") from error
    options = {name: tuple(value) if isinstance(value, list) else value for name, value in note.options.items()}
    return dataclasses.replace(note, options=options)


def fitted(path: Path, module: nn.Module, entries: Tensors, prefix: str = "") -> None:
    """Load entries into a module.

    Raises:
        WeightsDoNotFit: one is missing, too many or of another shape; the message names the first. Nothing is changed.
    """
    own = module.state_dict()
    given = {name.removeprefix(prefix): each for name, each in entries.items() if name.startswith(prefix)}
    for name, tensor in own.items():
        if name not in given:
            raise WeightsDoNotFit(f"{path}: {prefix}{name} {tuple(tensor.shape)} is missing: a file of another net")
        if given[name].shape != tensor.shape:
            seen, wanted = tuple(given[name].shape), tuple(tensor.shape)
            raise WeightsDoNotFit(f"{path}: {prefix}{name} is {seen}, wanted {wanted}: a file of another net")
    if surplus := [name for name in given if name not in own]:
        raise WeightsDoNotFit(f"{path}: {prefix}{surplus[0]} has no place here: a file of another net")
    module.load_state_dict(given)


def note_for(recipe: Recipe, labels: tuple[str, ...], data: tuple[str, str, int], epoch: int) -> WeightsNote:
    """The note of weights that this recipe made; `data` is name, sha256 and number of faces."""
    known = entry(recipe.net.name)
    return WeightsNote(
        name=recipe.name,
        net=recipe.net.name,
        options={**recipe.net.options, "edge": recipe.net.edge, known.outputs: len(labels)},
        task=known.task,
        labels=labels,
        edge=recipe.net.edge,
        mean=_three(recipe.data.mean),
        std=_three(recipe.data.std),
        grey=recipe.data.grey,
        centre=recipe.augment.centre,
        data=data[0],
        data_sha256=data[1],
        faces=data[2],
        epoch=epoch,
    )


def _three(values: tuple[float, ...]) -> tuple[float, float, float]:
    one, two, three = values
    return one, two, three


def check_same(path: Path, note: Mapping[str, Any], recipe: Recipe, data_sha256: str, processes: int) -> None:
    """A checkpoint's note fits this run.

    Raises:
        BadRequest: it was made with another recipe, set or number of processes; names the first difference.
    """
    wanted, seen = _flat(dataclasses.asdict(recipe)), _flat(note["recipe"])
    wanted |= {"data_sha256": data_sha256, "processes": processes}
    seen |= {"data_sha256": note["data_sha256"], "processes": note["processes"]}
    for key in (*wanted, *seen):
        if wanted.get(key) != seen.get(key):
            raise BadRequest(f"{path}: made with {key} = {seen.get(key)!r}, this run has {wanted.get(key)!r}")


def _flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in table.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": _listed(value)}
    return flat


def _listed(value: Any) -> Any:
    return [_listed(each) for each in value] if isinstance(value, list | tuple) else value


def optimiser_tensors(optimiser: torch.optim.Optimizer, prefix: str) -> dict[str, Tensor]:
    """What an optimiser remembers, by number of parameter."""
    memory = optimiser.state_dict()["state"]
    return {
        f"{prefix}{index}.{name}": torch.as_tensor(value)
        for index, some in memory.items()
        for name, value in some.items()
        if value is not None
    }


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: Tensors, prefix: str) -> None:
    """Give an optimiser its memory back."""
    whole = optimiser.state_dict()
    memory: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith(prefix):
            index, _, key = name.removeprefix(prefix).partition(".")
            memory.setdefault(int(index), {})[key] = tensor
    optimiser.load_state_dict({**whole, "state": memory})
