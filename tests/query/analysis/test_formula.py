import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import BadRequest
from query.analysis.formula import parse_formula, parse_selection

COLUMNS = {"AU12": np.array([0.2, 0.8]), "AU6": np.array([0.5, np.nan]), "fear": np.array([0.0, 0.1])}


@pytest.mark.parametrize(
    ("text", "values", "is_linear"),
    [
        ("smile=AU12+0.5*AU6", [0.45, np.nan], True),
        ("smile = AU12 0.5*AU6", [0.45, np.nan], True),  # «+» sent unquoted
        ("x=2*(AU12-fear)/4", [0.1, 0.35], True),
        ("x=-AU12--fear", [-0.2, -0.7], True),
        ("x=1-AU12", [0.8, 0.2], True),
        ("x=max(AU12,fear,0.5)", [0.5, 0.8], False),
        ("x=min(AU12,1)*fear", [0, 0.08], False),
        ("x=abs(fear-AU12)", [0.2, 0.7], False),
        ("x=AU12/fear", [np.nan, 8], False),  # by nothing: no value
        ("AU12", [0.2, 0.8], True),
    ],
)
def test_a_formula_is_arithmetic(text: str, values: list[float], is_linear: bool) -> None:
    formula = parse_formula(text)

    np.testing.assert_allclose(formula(COLUMNS), values)
    assert formula.is_linear is is_linear


@pytest.mark.parametrize(
    "text",
    [
        *(
            "x=",
            "=AU12",
            "x=AU12+",
            "x=AU99",
            "x=(AU12",
            "x=AU12)",
            "x=3",
            "fear=AU12",
            "x=__import__('os')",
            "x=AU12**2",
        ),
        *("x=AU12.real", "x=lambda: 1", "x=" + "(" * 50 + "AU12" + ")" * 50, "x=" + "+".join(["AU12"] * 100)),
        *("x=" + "-" * 150 + "AU12", "x=abs(AU12,fear)", "x y=AU12", "x=1_0*AU12", "x=AU12;fear", "x=1e999*AU12"),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match=r"formula|channel"):
        parse_formula(text)


@given(st.text("AU126fear+-*/(),. =0", max_size=60))
def test_no_text_brings_the_parser_down(text: str) -> None:
    with contextlib.suppress(BadRequest):
        parse_selection(text)


def test_names_and_formulas_come_apart_at_commas() -> None:
    selection = parse_selection("happiness, AU12,most=max(AU12,AU6),happiness")

    assert selection.names == ("happiness", "AU12")
    assert [formula.name for formula in selection.formulas] == ["most"]
    assert selection.needed == ("happiness", "AU12", "AU6")
    assert parse_selection(None).needed is None
