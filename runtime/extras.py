"""Packages that only a part of Mien needs."""

from importlib.util import find_spec

from contract.errors import BadRequest


def check_cluster_installed() -> None:
    """Nothing, if the clients of Kafka and Redis are there.

    Raises:
        BadRequest: one is not; says what brings it.
    """
    for package in ("kafka", "redis"):
        if find_spec(package) is None:
            raise BadRequest(f"{package} is not installed; wanted `make setup`, or `pip install 'mien[kafka,redis]'`")
