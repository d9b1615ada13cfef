"""`python -m bench gpu`: the card's rates, each net against its bound, the worker's reading; one JSON, one plot."""

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from bench.card.device import Device, device_at_hand
from bench.card.nets import MEASURED, Row, rows

BATCHES = {"cuda": (1, 32, 256, 1024), "cpu": (1, 8)}
FEEDING = {"cuda": (64, 256, 512), "cpu": (8, 32)}
READ_BY = {"cuda": ("expressions", "action_units"), "cpu": ("expressions.int8", "action_units")}
LOADED = 0.7  # of the throughput, while waits are measured
WAIT_S = 0.005


def main(arguments: list[str] | None = None) -> None:
    """Measure, print a table, write OUT/card.json and OUT/card.png."""
    parser = argparse.ArgumentParser(prog="python -m bench gpu", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out/bench"))
    parser.add_argument("--nets", default=",".join(MEASURED), help="separated by commas")
    parser.add_argument("--batches", default="", help="crops per call, separated by commas")
    parser.add_argument("--seconds", type=float, default=1.0, help="per number")
    given = parser.parse_args(sys.argv[2:] if arguments is None else arguments)
    device, began = device_at_hand(), time.monotonic()
    batches = tuple(map(int, given.batches.split(","))) if given.batches else BATCHES[device.kind]
    rates = device.rates(given.seconds)
    print(f"{device.name}: {2e-12 * rates.macs_per_s:.3g} TFLOP/s, {1e-9 * rates.bytes_per_s:.3g} GB/s", flush=True)
    measured: list[Row] = []
    for name in given.nets.split(","):
        for row in rows(name, device, rates, batches, given.seconds):
            print(
                f"{row.net:10} {row.how:16} batch {row.batch:>5} {row.images_per_s:>12,.1f} img/s {row.ms:>9.2f} ms"
                f" {row.share:>6.1%} of the bound, {row.largest_difference:.1e} from fp32",
                flush=True,
            )
            measured.append(row)
    reading = read(device, given.seconds)
    document = {
        "device": device.name,
        "kind": device.kind,
        "torch": torch.__version__,
        "date": time.strftime("%Y-%m-%d"),
        "tflops": 2e-12 * rates.macs_per_s,
        "gb_per_s": 1e-9 * rates.bytes_per_s,
        "nets": [asdict(row) for row in measured],
        "reading": reading,
        "seconds": round(time.monotonic() - began, 1),
    }
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "card.json").write_text(json.dumps(document, indent=2) + "\n")
    drawn = plot(document, given.out / "card.png")
    print(f"{given.out / 'card.json'}{f', {drawn}' if drawn else ''} in {document['seconds']} s")


def read(device: Device, seconds: float) -> dict[str, Any]:
    """Return faces per second of the worker's reading with one and two batches in flight, and waits under load."""
    try:
        from mien.feeding import Feeder, faces_per_s, jpegs, under_load
        from worker.reading.nets import engines_of
    except ImportError as error:  # a machine with torch and numpy alone
        return {"not_run": f"{error.name} is not installed"}
    names, crops = READ_BY[device.kind], jpegs(1024)
    threads = torch.get_num_threads()
    curve = []
    for batch in FEEDING[device.kind]:
        speeds = {}
        for in_flight in (1, 2):
            engines = engines_of(names, threads=1)
            for engine in engines:
                engine.warm_up(batch)
            speeds[in_flight] = faces_per_s(Feeder(engines, threads, in_flight), crops, batch, 2 * seconds)
            for engine in engines:
                engine.close()
        curve.append({"batch": batch, "one_in_flight": speeds[1], "two_in_flight": speeds[2]})
        print(f"reading    batch {batch:>4}: {speeds[1]:,.0f} faces/s, {speeds[2]:,.0f} with two in flight", flush=True)
    best = max(curve, key=lambda each: each["two_in_flight"])
    engines = engines_of(names, threads=1)
    rate, batch = LOADED * float(best["two_in_flight"]), int(best["batch"])
    load = under_load(Feeder(engines, threads, 2), crops, rate, batch, WAIT_S, 4 * seconds)
    for engine in engines:
        engine.close()
    print(f"reading    {load.faces_per_s:,.0f} faces/s offered: p50 {load.p50_ms:.1f} ms, p99 {load.p99_ms:.1f} ms")
    return {"nets": names, "decode_threads": threads, "curve": curve, "load": asdict(load)}


def plot(document: dict[str, Any], path: Path) -> Path | None:
    """Draw pictures per second over the batch size, each net with its bound; None without matplotlib."""
    try:
        import matplotlib as mpl

        mpl.use("agg")
        from matplotlib import pyplot as plt
        from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
    except ImportError:
        return None
    names = list(dict.fromkeys(row["net"] for row in document["nets"]))
    figure, axes = plt.subplots(
        1, len(names), figsize=(max(6.4, 3.4 * len(names)), 4.2), layout="constrained", squeeze=False, sharex=True
    )
    for axis, name in zip(axes[0], names, strict=True):
        some = [row for row in document["nets"] if row["net"] == name]
        for how in dict.fromkeys(row["how"] for row in some):
            of_it = [row for row in some if row["how"] == how]
            axis.plot([row["batch"] for row in of_it], [row["images_per_s"] for row in of_it], "o-", label=how)
        bound = {row["batch"]: row["bound_per_s"] for row in some}
        axis.plot(list(bound), list(bound.values()), "--", color="grey", label="bound of this device")
        axis.set(xscale="log", yscale="log", title=f"{name}, {some[0]['edge']} px", xlabel="pictures per batch")
        ticks = sorted(bound)
        axis.set_xticks(ticks, map(str, ticks))
        axis.minorticks_off()
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.4g}"))
        axis.yaxis.set_minor_formatter(NullFormatter())
        axis.grid(alpha=0.3)
    axes[0][0].set_ylabel("pictures per second")
    axes[0][-1].legend(fontsize="small")
    figure.suptitle(
        f"{document['device']}: {document['tflops']:.3g} TFLOP/s, {document['gb_per_s']:.3g} GB/s", fontsize="medium"
    )
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path
