"""Every number of a training run, read from TOML into frozen values; a wrong one is one error with file and line."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from contract.errors import BadRequest

FOLDER = Path(__file__).parent / "recipes"


@dataclass(frozen=True, slots=True)
class Net:
    """Which net, at which size."""

    name: str  # of models.nets
    edge: int  # px
    options: Mapping[str, Any] = field(default_factory=dict)  # of models.nets.build, beside classes, units and edge
    start: str = ""  # file of weights to begin from, in a form that models.nets.reference_weights reads
    start_part: str = "backbone"  # or «inference», «all», «narrowed», «grown», see train.learn.start
    stem_epochs: int = 0  # TransFER: the stem learns alone first, as a plain classifier
    stem_factor: float = 1.0  # rate of those epochs over the rate of the others
    stem_weight: float = 0.0  # TransFER: weight of that classifier's loss afterwards


@dataclass(frozen=True, slots=True)
class Data:
    """Which labels of which splits, and what the net sees of a picture."""

    labels: str  # «soft», «majority», «argmax», «class» or «units»
    train: tuple[str, ...] = ("train",)
    validation: tuple[str, ...] = ("validation",)
    active_from: int = 2  # intensity from which a unit counts as present
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.25, 0.25, 0.25)
    grey: bool = False  # the net sees luminance
    balance: str = "none"  # «oversample», «repeat» or «units», see train.learn.balance
    balance_numbers: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Augment:
    """What is done to training pictures, on the device. Lengths are shares of the crop's edge."""

    window: str = "whole"  # «five» (corners and centre), «random», «area»
    share: float = 1.0  # edge of the window, for «five» and «random»
    area: tuple[float, ...] = (1.0, 1.0)  # share of the surface, for «area»
    ratio: tuple[float, ...] = (1.0, 1.0)  # width over height, for «area»
    centre: float = 1.0  # edge of the central window that evaluation sees
    flip: float = 0.0  # chance
    rotate_deg: float = 0.0
    rotate_chance: float = 1.0
    scale: float = 0.0  # 0.12: 0.88 to 1.12
    shift: float = 0.0
    jitter: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)  # brightness, contrast, saturation, hue
    jitter_chance: float = 1.0
    grey: float = 0.0  # chance to lose the colour
    erase: float = 0.0  # chance
    erase_area: tuple[float, ...] = (0.02, 0.2)
    random_layers: int = 0  # RandAugment: how many operations
    random_magnitude: int = 0  # of 10


@dataclass(frozen=True, slots=True)
class Loss:
    """What is made small."""

    smoothing: float = 0.0
    centre_weight: float = 0.0  # DACL's λ
    centre_rate: float = 0.5  # DACL's α
    mixup: float = 0.0  # both parameters of the Beta distribution
    teachers: tuple[str, ...] = ()  # files of trained weights that teach, see train.learn.teacher
    teacher_weight: float = 0.0  # their share of the target


@dataclass(frozen=True, slots=True)
class Optimiser:
    """How weights move."""

    name: str  # «sgd» or «adamw»
    rate: float
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0
    decay_norms: bool = True  # also biases and the scales of norms, as plain SGD does
    clip: float = 0.0  # largest norm of the gradient; 0: any
    average: float = 0.0  # decay of the averaged weights that are kept; 0: the weights themselves


@dataclass(frozen=True, slots=True)
class Schedule:
    """How the rate goes."""

    kind: str = "constant"  # «cosine», «steps»
    warmup_epochs: float = 0.0
    milestones: tuple[float, ...] = ()  # for «steps»
    unit: str = "epochs"  # of the milestones; or «iterations»
    gamma: float = 0.1
    last: float = 0.0  # share of the rate at which a cosine ends


@dataclass(frozen=True, slots=True)
class Run:
    """How long, how large, how exact."""

    epochs: int
    batch: int  # over all processes
    seed: int = 0
    select: str = "accuracy"  # «accuracy», «macro_recall» or «mean_f1» on validation
    patience: int = 0  # epochs without a better validation after which it ends; 0: never
    precision: str = "bf16"  # of the arithmetic on a GPU; or «fp32»
    compile: bool = False
    channels_last: bool = True
    deterministic: bool = False  # also on a GPU; slower


@dataclass(frozen=True, slots=True)
class Recipe:
    """A training run."""

    name: str
    source: str  # where the numbers come from, and what differs
    net: Net
    data: Data
    optimiser: Optimiser
    run: Run
    augment: Augment = Augment()
    loss: Loss = Loss()
    schedule: Schedule = Schedule()


CHOICES = {
    "data.labels": ("soft", "majority", "argmax", "class", "units"),
    "data.balance": ("none", "oversample", "repeat", "units"),
    "augment.window": ("whole", "five", "random", "area"),
    "optimiser.name": ("sgd", "adamw"),
    "schedule.kind": ("constant", "cosine", "steps"),
    "schedule.unit": ("epochs", "iterations"),
    "run.select": ("accuracy", "macro_recall", "mean_f1"),
    "run.precision": ("bf16", "fp32"),
    "net.start_part": ("backbone", "inference", "all", "narrowed", "grown"),
}
RANGES: dict[str, tuple[float, float]] = {
    "net.edge": (8, 1024),
    "net.stem_epochs": (0, 10_000),
    "data.active_from": (1, 5),
    "data.std": (1e-3, 1e3),
    "augment.share": (0.1, 1),
    "augment.centre": (0.1, 1),
    "augment.area": (1e-3, 1),
    "augment.ratio": (0.1, 10),
    "augment.flip": (0, 1),
    "augment.rotate_chance": (0, 1),
    "augment.scale": (0, 0.9),
    "augment.shift": (0, 0.9),
    "augment.jitter": (0, 1),
    "augment.jitter_chance": (0, 1),
    "augment.grey": (0, 1),
    "augment.erase": (0, 1),
    "augment.erase_area": (0, 1),
    "augment.random_layers": (0, 8),
    "augment.random_magnitude": (0, 10),
    "loss.smoothing": (0, 1),
    "loss.mixup": (0, 10),
    "loss.teacher_weight": (0, 1),
    "optimiser.rate": (1e-12, 1e3),
    "optimiser.momentum": (0, 1),
    "optimiser.weight_decay": (0, 1e3),
    "optimiser.average": (0, 0.999999),
    "run.epochs": (1, 100_000),
    "run.batch": (2, 1 << 20),
    "run.seed": (0, 2**31),
    "run.patience": (0, 100_000),
}
LENGTHS = {
    **dict.fromkeys(("data.mean", "data.std"), 3),
    **dict.fromkeys(("augment.area", "augment.ratio", "augment.erase_area"), 2),
    "augment.jitter": 4,
}


def names() -> tuple[str, ...]:
    """The recipes that come along."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def read_recipe(name_or_path: str | Path) -> Recipe:
    """The recipe in a TOML file, or the one of this name that comes along.

    Raises:
        BadRequest: no such recipe; no TOML; an unknown, missing or wrong key: file and line, what was seen and wanted.
    """
    path = Path(name_or_path)
    if not path.suffix and not path.exists():
        path = FOLDER / f"{name_or_path}.toml"
        if not path.is_file():
            raise BadRequest(f"no recipe «{name_or_path}»; there is {', '.join(names())}, or a TOML file")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"{path}: no readable recipe ({error})") from error
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadRequest(f"{path}: no TOML: {error}") from error
    recipe: Recipe = _Place(path, text).value(Recipe, tables, "")
    return recipe


def with_files(recipe: Recipe, start: Path | None = None, teachers: Sequence[Path] = ()) -> Recipe:
    """The recipe with the files of weights that it begins from and is taught by, where they are given.

    Raises:
        BadRequest: it needs such a file and has none, or is given teachers that it has no share for.
    """
    net = replace(recipe.net, start=str(start or recipe.net.start))
    loss = replace(recipe.loss, teachers=tuple(map(str, teachers)) or recipe.loss.teachers)
    if net.start_part != "backbone" and not net.start:
        raise BadRequest(f"{recipe.name} begins from weights ({net.start_part}); wanted --start FILE")
    if bool(loss.teacher_weight) != bool(loss.teachers):
        wanted = "--teacher FILE" if loss.teacher_weight else "loss.teacher_weight above 0"
        raise BadRequest(
            f"{recipe.name}: {len(loss.teachers)} teachers of weight {loss.teacher_weight}; wanted {wanted}"
        )
    return replace(recipe, net=net, loss=loss)


@dataclass(frozen=True, slots=True)
class _Place:
    """A recipe's text, to say where something is wrong."""

    path: Path
    text: str

    def error(self, key: str, what: str) -> BadRequest:
        return BadRequest(f"{self.path}:{self.line(key)}: {key}: {what}")

    def line(self, key: str) -> int:
        """The line that sets a dotted key, else that of its table, else the first."""
        table, _, name = key.rpartition(".")
        here, of_table = "", 1
        for number, line in enumerate(self.text.splitlines(), 1):
            if header := re.match(r"\s*\[([^\]]+)\]", line):
                here = header[1].strip()
                of_table = number if here in (key, table) else of_table
                if here == key:
                    return number
            elif here == table and re.match(rf"\s*\"?{re.escape(name)}\"?\s*[.=]", line):
                return number
        return of_table

    def value(self, cls: Any, table: Any, prefix: str) -> Any:
        """A dataclass of a table."""
        if not isinstance(table, dict):
            raise self.error(prefix, f"is {table!r}, wanted a table [{prefix}]")
        hints, known = get_type_hints(cls), {each.name: each for each in fields(cls)}
        read = {}
        for name, seen in table.items():
            key = f"{prefix}.{name}" if prefix else name
            if name not in known:
                raise self.error(key, f"no such key; [{prefix or 'recipe'}] has {', '.join(known)}")
            read[name] = (
                self.value(hints[name], seen, key) if is_dataclass(hints[name]) else self.plain(hints[name], seen, key)
            )
        for name, each in known.items():
            if name not in read and each.default is MISSING and each.default_factory is MISSING:
                raise self.error(f"{prefix}.{name}" if prefix else name, "is missing")
        return cls(**read)

    def plain(self, wanted: Any, seen: Any, key: str) -> Any:
        """A number, word, list or free table, checked."""
        if get_origin(wanted) is tuple:
            if not isinstance(seen, list):
                raise self.error(key, f"is {seen!r}, wanted a list")
            kept = tuple(self.plain(get_args(wanted)[0], each, key) for each in seen)
            if len(kept) != LENGTHS.get(key, len(kept)):
                raise self.error(key, f"has {len(kept)} numbers, wanted {LENGTHS[key]}")
            return kept
        if get_origin(wanted) is Mapping:
            if not isinstance(seen, dict):
                raise self.error(key, f"is {seen!r}, wanted a table")
            return dict(seen)
        if wanted is float and isinstance(seen, int) and not isinstance(seen, bool):
            seen = float(seen)
        if type(seen) is not wanted:
            raise self.error(key, f"is {seen!r}, wanted {_WORDS[wanted]}")
        if key in CHOICES and seen not in CHOICES[key]:
            raise self.error(key, f"is {seen!r}, wanted one of {', '.join(CHOICES[key])}")
        low, high = RANGES.get(key, (float("-inf"), float("inf")))
        if wanted in (int, float) and not low <= seen <= high:
            raise self.error(key, f"is {seen}, wanted {low:g} to {high:g}")
        return seen


_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
