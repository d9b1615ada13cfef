import importlib.util

import pytest

from contract.errors import BadRequest
from runtime import extras


def test_a_missing_client_is_told_with_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "kafka" else found(name))

    with pytest.raises(BadRequest, match=r"kafka is not installed; wanted `make setup`, or `pip install"):
        extras.check_cluster_installed()


def test_nothing_is_said_where_both_are_there() -> None:
    extras.check_cluster_installed()
