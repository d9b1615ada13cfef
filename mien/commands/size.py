"""`mien size`: how much of what a number of cameras needs; the formulas of docs/sizing.md, from measured rates."""

import json
import math
from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from contract.errors import BadRequest

CELL_CAMERAS = 2_000  # cameras of one Kafka, one Redis and their workers; more are more cells
LEAST_PARTITIONS = 12  # room to grow: their number is fixed when the topic is made


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is to be looked at. Out of range values raise `BadRequest`."""

    cameras: int
    fps: float = 5.0  # frames per second of each camera that are looked at
    faces: float = 2.0  # visible on average in each of them
    camera_fps: float = 25.0  # frames per second that each camera sends; all are decoded
    retention_h: float = 24.0  # of the topic of faces
    keep_days: float = 30.0  # of the timelines

    def __post_init__(self) -> None:
        for name, value, most in (
            ("cameras", self.cameras, 10_000_000),
            ("fps", self.fps, 120),
            ("faces", self.faces, 1000),
            ("camera-fps", self.camera_fps, 240),
            ("retention-h", self.retention_h, 24 * 366),
            ("keep-days", self.keep_days, 36_600),
        ):
            if not 0 < value <= most:
                raise BadRequest(f"--{name} is {value:g}; wanted more than 0, at most {most:g}")
        if self.fps > self.camera_fps:
            raise BadRequest(f"--fps is {self.fps:g}, more than the {self.camera_fps:g} that a camera sends")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What one part does, measured on two cores of an Intel Xeon at 2.8 GHz (docs/sizing.md, docs/measurements.md)."""

    worker_per_s: float = 2_900.0  # faces of one worker process besides the net: poll, decode to 160 px, commit
    net_core_ms: float = 1.78  # of one core a face, expressions.int8; no share of it with a GPU
    decode_ms: float = 4.6  # of one core a frame that is decoded, 1280×720
    look_ms: float = 5.9  # of one core a frame that is looked at: search and follow
    face_ms: float = 1.1  # of one core a face: cut, judge, write as JPEG
    message_bytes: float = 8_000.0  # of one face in Kafka: a crop of 160 px as JPEG
    point_bytes: float = 65.0  # of one point in Redis, buckets included
    load: float = 0.6  # of a part's rate that is used; the rest is for gusts and for catching up
    partition_bytes_per_s: float = 10e6  # that one partition takes; an assumption, far below what a broker does
    copies: int = 3  # of each partition


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What is needed, over all cells; a cell is one Kafka, one Redis and their workers."""

    cells: int
    cameras_per_cell: int
    faces_per_s: float
    workers: int  # GPU: one process a GPU; CPU: one process of `worker_cores`
    worker_cores: float  # of each, on the CPU
    partitions: int  # of the topic of faces, in each cell
    ingest_cores: float
    kafka_in_bytes_per_s: float
    kafka_disk_bytes: float  # all copies
    redis_bytes: float
    unevenness: float  # share by which the fullest worker of all cells is above the mean, at most


def size_of(load: Load, rates: Rates | None = None, *, gpu: bool = True, cores_per_worker: int = 2) -> Size:
    """Return what a load needs.

    A worker's rate is that of its slowest part: what Python does for each face, or the net on its cores.
    Sources lie on partitions by a hash, so some workers get more cameras than others: with n cameras a worker and w
    workers in all cells the fullest has up to n + sqrt(2 n ln w). Workers are added until that one is within
    `rates.load`. Partitions are a multiple of the workers, so that each gets as many.
    """
    rates = rates or Rates()
    cells = math.ceil(load.cameras / CELL_CAMERAS)
    per_cell = math.ceil(load.cameras / cells)
    faces = per_cell * load.fps * load.faces
    net_per_s = math.inf if gpu else 1e3 * cores_per_worker / (rates.net_core_ms + 1e3 / rates.worker_per_s)
    usable = rates.load * min(rates.worker_per_s, net_per_s)
    workers = max(1, math.ceil(faces / usable))
    while workers < per_cell and faces / workers * (1 + unevenness(per_cell / workers, workers * cells)) > usable:
        workers += 1
    by_bytes = faces * rates.message_bytes / rates.partition_bytes_per_s
    decoded = load.camera_fps * rates.decode_ms
    looked = load.fps * (rates.look_ms + load.faces * rates.face_ms)
    in_bytes_per_s = cells * faces * rates.message_bytes
    return Size(
        cells=cells,
        cameras_per_cell=per_cell,
        faces_per_s=load.cameras * load.fps * load.faces,
        workers=cells * workers,
        worker_cores=1.0 + (0 if gpu else cores_per_worker),
        partitions=workers * math.ceil(max(4, LEAST_PARTITIONS / workers, by_bytes / workers)),
        ingest_cores=load.cameras * (decoded + looked) / 1e3 / rates.load,
        kafka_in_bytes_per_s=in_bytes_per_s,
        kafka_disk_bytes=in_bytes_per_s * rates.copies * load.retention_h * 3600,
        redis_bytes=load.cameras * load.fps * load.faces * rates.point_bytes * 86_400 * load.keep_days,
        unevenness=unevenness(per_cell / workers, workers * cells),
    )


def unevenness(cameras_per_worker: float, workers: int) -> float:
    """Return the share by which the fullest of so many workers is above the mean, as a hash shares cameras out."""
    return 0.0 if workers == 1 else math.sqrt(2 * math.log(workers) / cameras_per_worker)


def size(
    cameras: Annotated[int, typer.Option(help="How many cameras.", show_default=False)],
    fps: Annotated[float, typer.Option(help="Frames per second of each that are looked at.")] = 5.0,
    faces: Annotated[float, typer.Option(help="Faces in such a frame, on average.")] = 2.0,
    camera_fps: Annotated[float, typer.Option(help="Frames per second that a camera sends.")] = 25.0,
    retention_h: Annotated[float, typer.Option(help="Hours that Kafka keeps crops.")] = 24.0,
    keep_days: Annotated[float, typer.Option(help="Days that timelines are kept.")] = 30.0,
    gpu: Annotated[bool, typer.Option("--gpu/--cpu", help="What the nets run on.")] = True,
    cores: Annotated[int, typer.Option(help="Cores of one worker's net, with --cpu.", min=1, max=256)] = 2,
    worker_rate: Annotated[
        float | None,
        typer.Option(help=r"Faces per second of one worker as you measured it.  \[default: 2900]", min=1),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print numbers for a program.")] = False,
) -> None:
    """Print what a number of cameras needs: workers, partitions, cores, network, disk and memory."""
    load = Load(
        cameras=cameras,
        fps=fps,
        faces=faces,
        camera_fps=camera_fps,
        retention_h=retention_h,
        keep_days=keep_days,
    )
    rates = Rates(worker_per_s=worker_rate) if worker_rate else Rates()
    found = size_of(load, rates, gpu=gpu, cores_per_worker=cores)
    print(json.dumps(asdict(found)) if as_json else _described(found, load, rates, gpu=gpu))


def _described(found: Size, load: Load, rates: Rates, *, gpu: bool) -> str:
    kind = "GPU workers" if gpu else f"workers of {found.worker_cores:g} cores"
    lines = [
        ("faces per second", f"{found.faces_per_s:,.0f}"),
        ("cells", f"{found.cells:,} of {found.cameras_per_cell:,} cameras: each its own Kafka, Redis and workers"),
        (
            kind,
            f"{found.workers:,}  ({rates.load:.0%} loaded, the fullest; up to {found.unevenness:.0%} above the mean)",
        ),
        ("partitions", f"{found.partitions:,} in each cell"),
        ("ingest", f"{_number(found.ingest_cores)} cores, decoding on the CPU"),
        ("into Kafka", f"{found.kafka_in_bytes_per_s / 1e6:,.0f} MB/s"),
        ("Kafka's disks", f"{_bytes(found.kafka_disk_bytes)} for {load.retention_h:g} h in {rates.copies} copies"),
        ("Redis", f"{_bytes(found.redis_bytes)} of memory for {load.keep_days:g} days"),
    ]
    width = max(len(name) for name, _ in lines)
    text = "\n".join(f"{name:{width}}  {value}" for name, value in lines)
    unseen = (
        "\nA GPU's own rate was not measured: a worker is taken to be bound by its process. docs/sizing.md"
        if gpu
        else ""
    )
    return text + unseen


def _number(value: float) -> str:
    return f"{value:,.1f}" if value < 10 else f"{math.ceil(value):,}"


def _bytes(count: float) -> str:
    return f"{count / 1e9:,.1f} GB" if count < 1e12 else f"{count / 1e12:,.1f} TB"
