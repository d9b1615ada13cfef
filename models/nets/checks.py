"""Checks of the options of a net, so that a wrong one is refused by name before anything is built."""

from collections.abc import Sequence

from contract.errors import BadRequest


def one_of(option: str, value: str, allowed: Sequence[str]) -> str:
    """The value, when it is one of the allowed words.

    Raises:
        BadRequest: it is not; the message lists what exists.
    """
    if value not in allowed:
        raise BadRequest(f"{option}={value!r} is not known; there is {', '.join(allowed)}")
    return value


def at_least(option: str, value: int, least: int) -> int:
    """The value, when it is a whole number not below `least`.

    Raises:
        BadRequest: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise BadRequest(f"{option}={value!r} must be a whole number of at least {least}")
    return value


def probability(option: str, value: float) -> float:
    """The value, when it lies in 0..1.

    Raises:
        BadRequest: it does not.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= 1.0:
        raise BadRequest(f"{option}={value!r} must lie between 0 and 1")
    return float(value)
