"""`mien models`: the weights that are shipped, and what each net costs."""

from rich.console import Console
from rich.table import Table

from contract.model_card import read_card
from models.zoo import cards


def print_models() -> None:
    """Print the zoo, then parameters and multiply-accumulates of each net where torch is installed."""
    console = Console(highlight=False)
    console.print(_zoo())
    try:
        import torch  # noqa: F401
    except ModuleNotFoundError:
        console.print("\nThe nets themselves need torch: make setup shows their parameters and cost here.", style="dim")
        return
    console.print(_costs())


def _zoo() -> Table:
    table = Table(title="Shipped weights", title_justify="left", box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("name", "answers", "net", "precision", "MB", "version"):
        table.add_column(name, justify="right" if name == "MB" else "left", no_wrap=name == "name", overflow="fold")
    for name, path in cards().items():
        card = read_card(path)
        size = (path.parent / card.file).stat().st_size / 1e6
        table.add_row(name, card.task.replace("_", " "), card.net, card.precision, f"{size:.1f}", card.version)
    return table


def _costs() -> Table:
    from models.nets.cost import table as costs

    table = Table(
        title="\nThe nets, per picture", title_justify="left", box=None, padding=(0, 2, 0, 0), header_style="dim"
    )
    table.add_column("net", no_wrap=True)
    for name in ("edge", "logits", "parameters", "in engine", "GMAC", "in engine"):
        table.add_column(name, justify="right")
    for cost in costs():
        table.add_row(
            cost.name,
            str(cost.edge),
            str(cost.outputs),
            f"{cost.parameters_training:,}",
            f"{cost.parameters_inference:,}",
            f"{cost.macs_training / 1e9:.3f}",
            f"{cost.macs_inference / 1e9:.3f}",
        )
    return table
