import inspect
import re

import contract.errors
from contract.errors import MienError


def drawn_tree(drawing: str) -> dict[str, str]:
    """Child -> parent, from the indentation of the drawing."""
    parents: dict[str, str] = {}
    stack: list[tuple[int, str]] = []
    for line in drawing.splitlines():
        found = re.match(r"^([│ ]*)[├└]── (\w+)", line)
        if line.strip() == "MienError":
            stack = [(-1, "MienError")]
        elif found:
            depth = len(found[1])
            while stack[-1][0] >= depth:
                stack.pop()
            parents[found[2]] = stack[-1][1]
            stack.append((depth, found[2]))
    return parents


def test_the_tree_drawn_on_top_is_the_tree_below() -> None:
    classes = [value for value in vars(contract.errors).values() if inspect.isclass(value) and value is not MienError]

    assert drawn_tree(contract.errors.__doc__ or "") == {kind.__name__: kind.__base__.__name__ for kind in classes}
