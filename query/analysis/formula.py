"""Channels of one's own: `smile = AU12 + 0.5*AU6`, from a small language that can do nothing but arithmetic.

formula := term (("+" | "-") term)*          term   := factor (("*" | "/") factor)*
factor  := number | channel | "-" factor | "(" formula ")" | ("min" | "max" | "abs") "(" formula ("," formula)* ")"
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.errors import BadRequest
from contract.labels import ACTION_UNITS, EXPRESSIONS

KNOWN = EXPRESSIONS + ACTION_UNITS
LONGEST, DEEPEST = 200, 20  # characters of a formula, brackets in brackets
Values = NDArray[np.floating]
_TOKEN = re.compile(r"\s*(?:(\d+\.?\d*|\.\d+)|([A-Za-z_]\w*)|([-+*/(),]))", re.ASCII)
_NAME = re.compile(r"[A-Za-z_][\w-]{0,39}", re.ASCII)
_UNQUOTED_PLUS = re.compile(r"(?<=[\w)]) +(?=[\w(.])", re.ASCII)
_FUNCTIONS: dict[str, Callable[..., Values]] = {"min": np.minimum, "max": np.maximum, "abs": np.abs}


@dataclass(frozen=True, slots=True)
class Formula:
    """A named value over channels.

    `channels` are those it reads; `is_linear` says that the mean of its values is its value at the means.
    """

    name: str
    text: str
    channels: tuple[str, ...]
    is_linear: bool
    _run: Callable[[Mapping[str, Values]], Values]

    def __call__(self, columns: Mapping[str, Values]) -> Values:
        """Return the values (n,) over columns (n,); NaN where one of them has none."""
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.asarray(self._run(columns))
        return np.where(np.isfinite(values), values, np.nan)


@dataclass(frozen=True, slots=True)
class Selection:
    """The channels and formulas of an answer; `names` None: all channels that were measured."""

    names: tuple[str, ...] | None = None
    formulas: tuple[Formula, ...] = ()

    @property
    def needed(self) -> tuple[str, ...] | None:
        """Return the channels that must be read."""
        if self.names is None:
            return None
        inner = (name for formula in self.formulas for name in formula.channels)
        return tuple(dict.fromkeys((*self.names, *inner)))


def parse_selection(text: str | None) -> Selection:
    """Return what `happiness,AU12,smile=AU12+0.5*AU6` asks for; each name once, commas in brackets separate nothing.

    Raises:
        BadRequest: a name that no net knows, or a formula that cannot be understood.
    """
    if text is None:
        return Selection()
    names, formulas = list[str](), list[Formula]()
    for part in _parts(text):
        if "=" in part:
            formulas.append(parse_formula(part))
        elif part.strip() in KNOWN:
            names.append(part.strip())
        else:
            raise BadRequest(
                f"channels: no channel {part.strip()[:40]!r}; known are {', '.join(KNOWN)}, and formulas such as "
                "smile=AU12+0.5*AU6"
            )
    return Selection(tuple(dict.fromkeys(names)), tuple({each.name: each for each in formulas}.values()))


def parse_formula(text: str) -> Formula:
    """Return the formula `name = …`; a channel alone is a formula of its own name.

    Raises:
        BadRequest: it cannot be understood, is too long, or reads a channel that no net knows.
    """
    name, equals, body = text.partition("=")
    if not equals:
        name, body = text, text
    name, body = name.strip(), _UNQUOTED_PLUS.sub("+", body.strip())  # «+» in an address reads as a blank
    if not _NAME.fullmatch(name) or (equals and name in KNOWN):
        raise BadRequest(f"formula {text[:60]!r}: wanted a name of its own before «=», such as smile=AU12+0.5*AU6")
    if len(body) > LONGEST:
        raise BadRequest(f"formula {name!r} has {len(body)} characters, wanted at most {LONGEST}")
    parser = _Parser(name, body)
    node = parser.formula(0)
    parser.expect_end()
    if not parser.channels:
        raise BadRequest(f"formula {name}={body[:60]!r} reads no channel; known are {', '.join(KNOWN)}")
    return Formula(name, body, tuple(dict.fromkeys(parser.channels)), node.degree == 1, node.run)


def _parts(text: str) -> list[str]:
    parts, depth = [""], 0
    for sign in text:
        depth += (sign == "(") - (sign == ")")
        if sign == "," and depth <= 0:
            parts.append("")
        else:
            parts[-1] += sign
    return parts


@dataclass(frozen=True, slots=True)
class _Node:
    run: Callable[[Mapping[str, Values]], Values]
    degree: int  # 0: a number; 1: linear in the channels; 2: more than that


class _Parser:
    def __init__(self, name: str, text: str) -> None:
        self._name, self._text, self._at = name, text, 0
        self.channels: list[str] = []

    def formula(self, depth: int) -> _Node:
        if depth > DEEPEST:
            raise self._wrong(f"more than {DEEPEST} brackets in each other")
        left = self._term(depth)
        while (sign := self._peek()) in ("+", "-"):
            self._next()
            right = self._term(depth)
            left = _joined(sign, left, right)
        return left

    def _term(self, depth: int) -> _Node:
        left = self._factor(depth)
        while (sign := self._peek()) in ("*", "/"):
            self._next()
            right = self._factor(depth)
            left = _scaled(sign, left, right)
        return left

    def _factor(self, depth: int) -> _Node:
        token = self._next()
        if token == "-":
            inner = self._factor(depth + 1) if depth < DEEPEST else self.formula(depth + 1)
            return _Node(lambda columns: -inner.run(columns), inner.degree)
        if token == "(":
            inner = self.formula(depth + 1)
            self._expect(")")
            return inner
        if token in _FUNCTIONS:
            return self._function(token, depth)
        if token in KNOWN:
            self.channels.append(token)
            return _Node(lambda columns: np.asarray(columns[token], np.float64), 1)
        if token and (token[0].isdigit() or token[0] == "."):
            number = np.float64(token)
            return _Node(lambda columns: np.asarray(number), 0)
        raise self._wrong(f"{token!r} is no channel" if token else "it ends too early")

    def _function(self, name: str, depth: int) -> _Node:
        self._expect("(")
        inner = [self.formula(depth + 1)]
        while self._peek() == ",":
            self._next()
            inner.append(self.formula(depth + 1))
        self._expect(")")
        if name == "abs" and len(inner) != 1:
            raise self._wrong("abs takes one value")
        function = _FUNCTIONS[name]

        def run(columns: Mapping[str, Values]) -> Values:
            values = [each.run(columns) for each in inner]
            if name == "abs":
                return function(values[0])
            found = values[0]
            for value in values[1:]:
                found = function(found, value)
            return found

        return _Node(run, 2)

    def _peek(self) -> str:
        match = _TOKEN.match(self._text, self._at)
        return "" if match is None else match[1] or match[2] or match[3]

    def _next(self) -> str:
        match = _TOKEN.match(self._text, self._at)
        if match is None:
            if self._text[self._at :].strip():
                raise self._wrong(f"{self._text[self._at :].strip()[0]!r} is not understood")
            return ""
        self._at = match.end()
        return match[1] or match[2] or match[3]

    def _expect(self, sign: str) -> None:
        if (seen := self._next()) != sign:
            raise self._wrong(f"wanted {sign!r}, seen {seen or 'the end'!r}")

    def expect_end(self) -> None:
        if rest := self._text[self._at :].strip():
            raise self._wrong(f"{rest[:20]!r} is left over")

    def _wrong(self, why: str) -> BadRequest:
        return BadRequest(
            f"formula {self._name}={self._text[:60]!r}: {why}; wanted channels, numbers, + - * / ( ) min max abs"
        )


def _joined(sign: str, left: _Node, right: _Node) -> _Node:
    degree = max(left.degree, right.degree)
    if sign == "+":
        return _Node(lambda columns: left.run(columns) + right.run(columns), degree)
    return _Node(lambda columns: left.run(columns) - right.run(columns), degree)


def _scaled(sign: str, left: _Node, right: _Node) -> _Node:
    if sign == "*":
        degree = left.degree + right.degree
        return _Node(lambda columns: left.run(columns) * right.run(columns), degree)
    degree = left.degree if right.degree == 0 else 2
    return _Node(lambda columns: left.run(columns) / right.run(columns), degree)
