"""What the house promises of its own code: sizes, and errors and arrays that their docstrings name."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from contract import errors

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGES = ("contract", "runtime", "models", "ingest", "worker", "query", "train", "mien", "bench")
MODULE_LINES, FUNCTION_LINES = 300, 40
OURS = {name for name, each in vars(errors).items() if isinstance(each, type) and issubclass(each, errors.MienError)}
FILES = sorted(path for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py"))
TREES = {path.relative_to(REPOSITORY).as_posix(): ast.parse(path.read_text()) for path in FILES}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.Module) -> Iterator[tuple[str, Function, bool]]:
    """(dotted name, function, public) of every function and method."""

    def walk(node: ast.AST, prefix: str, public: bool) -> Iterator[tuple[str, Function, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef):
                yield from walk(child, f"{prefix}{child.name}.", public and not child.name.startswith("_"))
            elif isinstance(child, Function):
                yield f"{prefix}{child.name}", child, public and not child.name.startswith("_")
                yield from walk(child, f"{prefix}{child.name}.", False)
            else:
                yield from walk(child, prefix, public)

    yield from walk(tree, "", True)


def body_lines(function: Function) -> int:
    """Lines from the first statement to the last: a list of options or a docstring is no code."""
    body = function.body
    if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant) and len(body) > 1:
        body = body[1:]
    return (body[-1].end_lineno or 0) - body[0].lineno + 1


def raised(function: Function) -> set[str]:
    """Our own errors that a function raises by itself."""
    names = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Raise) and node.exc is not None:
            call = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            name = call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", "")
            names |= {name} & OURS
    return names


SHOWN = ("mien/cli.py", "mien/commands/", "query/http/routes/")
"""Here a docstring is the help text of a command or the description of a route: users read it, not callers."""


def test_a_module_holds_one_noun() -> None:
    long = {path.relative_to(REPOSITORY).as_posix(): len(path.read_text().splitlines()) for path in FILES}
    assert {path: count for path, count in long.items() if count > MODULE_LINES} == {}


def test_a_function_fits_a_screen() -> None:
    long = [
        f"{path}:{function.lineno} {name}: {body_lines(function)} lines"
        for path, tree in TREES.items()
        for name, function, _ in functions(tree)
        if body_lines(function) > FUNCTION_LINES
    ]
    assert long == []


def test_a_public_function_that_raises_one_of_our_errors_says_so() -> None:
    silent = [
        f"{path}:{function.lineno} {name} raises {', '.join(sorted(raised(function)))}"
        for path, tree in TREES.items()
        for name, function, public in functions(tree)
        if public and not path.startswith(SHOWN) and raised(function) and not _states_errors(function)
    ]
    assert silent == []


def _states_errors(function: Function) -> bool:
    text = ast.get_docstring(function) or ""
    return "Raises:" in text or any(re.search(rf"\b{name}\b", text) for name in OURS)


def test_the_rules_are_checked_on_code() -> None:
    """A guard of the guards: the sets that the rules run over are not empty."""
    found = [
        name for tree in TREES.values() for name, function, public in functions(tree) if public and raised(function)
    ]
    assert len(FILES) > 200
    assert len(found) > 80
