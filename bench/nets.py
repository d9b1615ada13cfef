"""ONNX Runtime on the four nets: the engine's graph against the net exported in its published order."""

import time
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from models.engines.onnx import open_session
from models.nets import build, options
from train.ship.export import Normalisation, ServingGraph, serving_graph, to_onnx

IMAGENET = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "dacl 224": ("dacl", {}),
    "dacl 112": ("dacl", {"edge": 112}),
    "transfer 112": ("transfer", {"head": "random"}),
    "fcanet34 224": ("fcanet34", {}),
    "drml 170": ("drml", {}),
}
BATCHES = (1, 8)
THREADS = 2
SECONDS = 1.5  # per graph and batch


def main() -> None:
    """Print a row per net: ms per crop at batch 1 and 8, and the ratio to the published order in the same minute."""
    table = Table(title=f"\nONNX Runtime fp32, {THREADS} threads", title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column("net")
    for batch in BATCHES:
        table.add_column(f"batch {batch}, ms/crop", justify="right")
        table.add_column("÷ published order", justify="right")
    for name, (net, variant) in VARIANTS.items():
        table.add_row(name, *(cell for batch in measured(net, variant) for cell in batch))
    Console(highlight=False, width=120).print(table)


def measured(name: str, variant: dict[str, Any]) -> list[tuple[str, str]]:
    """Per batch size: ms per crop of the engine's graph, and its ratio to the published order."""
    torch.manual_seed(0)
    net = build(name, **variant).eval()
    edge = {**options(name), **variant}["edge"]
    graphs = (serving_graph(net, IMAGENET), ServingGraph(net, IMAGENET).eval())
    ours, published = (open_session(to_onnx(graph, edge).SerializeToString(), THREADS, name) for graph in graphs)
    rows = []
    for batch in BATCHES:
        crops = np.random.default_rng(0).integers(0, 256, (batch, edge, edge, 3), np.uint8)
        mine, theirs = fastest_in_turn([ours, published], crops)
        rows.append((f"{1e3 * mine / batch:.2f}", f"{mine / theirs:.2f}"))
    return rows


def fastest_in_turn(sessions: list[Any], crops: np.ndarray[Any, Any]) -> list[float]:
    """Shortest seconds per call of each session, called in turn so that both meet the same machine."""
    best = [float("inf")] * len(sessions)
    until = time.perf_counter() + SECONDS * len(sessions)
    while time.perf_counter() < until or best[-1] == float("inf"):
        for place, session in enumerate(sessions):
            began = time.perf_counter()
            session.run(None, {"crops": crops})
            best[place] = min(best[place], time.perf_counter() - began)
    return best


if __name__ == "__main__":
    main()
