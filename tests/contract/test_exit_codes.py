import pytest

from contract import errors, exit_codes
from contract.exit_codes import code_of

WANTED = {
    errors.BadRequest: 2,
    errors.BadSource: 2,
    errors.SourceUnavailable: 2,
    errors.BadOutput: 2,
    errors.TooManyRejected: 65,
    errors.RecordsExpired: 66,
    errors.LogUnavailable: 69,
    errors.StoreUnavailable: 69,
    errors.EngineFailed: 70,
    errors.BadModel: 78,
    errors.StoreTooNew: 78,
    errors.LogReplaced: 78,
}


@pytest.mark.parametrize("kind", WANTED)
def test_an_error_ends_a_service_with_its_code(kind: type[errors.MienError]) -> None:
    assert code_of(kind("x")) == WANTED[kind]


def test_every_code_stands_in_the_table() -> None:
    assert exit_codes.__doc__ is not None
    names = ("DONE", "BAD_INPUT", "DATA", "NO_INPUT", "UNAVAILABLE", "SOFTWARE", "HUNG", "CONFIG", "INTERRUPTED")
    for name in names:
        assert f"\n| {getattr(exit_codes, name)} |" in exit_codes.__doc__
