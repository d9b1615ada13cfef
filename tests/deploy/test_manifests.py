"""The manifests render and keep our rules; rules find what breaks them. Schemas and a server: make check-deploy."""

import copy
import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from contract.topics import topics
from deploy.check import rendering, rules, schemas
from deploy.check.rendering import Case, Manifest
from deploy.check.tools import KUBERNETES, CheckFailed, Tools, tools
from tests.components import missing

CASES = list(rendering.cases())


@pytest.fixture(scope="session")
def brought() -> Tools:
    try:
        return tools()
    except CheckFailed as error:
        missing(f"the tools of make check-deploy cannot be brought ({str(error).splitlines()[0]}): make check-deploy")


@pytest.fixture(scope="session")
def production(brought: Tools) -> list[Manifest]:
    return Case("production", KUBERNETES / "overlays" / "production").render(brought)


@pytest.fixture(scope="session")
def dev(brought: Tools) -> list[Manifest]:
    return Case("dev-cpu", KUBERNETES / "overlays" / "dev-cpu").render(brought)


def the(documents: list[Manifest], kind: str, name: str) -> Manifest:
    (found,) = (each for each in documents if each["kind"] == kind and each["metadata"]["name"] == name)
    return found


def test_every_folder_is_part_of_a_case() -> None:
    assert {f"overlays/{path.name}" for path in (KUBERNETES / "overlays").iterdir()} <= {case.name for case in CASES}
    tried = {part for case in CASES for part in case.name.removeprefix("pools/").split("+")}
    assert {path.name for path in (KUBERNETES / "components").iterdir()} <= tried
    assert {path.name for path in (KUBERNETES / "pools").iterdir()} - {"base", "gpu"} <= tried


@pytest.mark.parametrize("case", CASES[::4], ids=lambda case: case.name)
def test_what_is_rendered_keeps_the_rules(case: Case, brought: Tools) -> None:
    assert rules.problems(case.render(brought)) == []


def _too_many_workers(documents: list[Manifest]) -> str:
    the(documents, "ScaledObject", "worker-l4")["spec"]["maxReplicaCount"] = 37
    return "up to 49 workers on the 48 partitions"


def _other_threshold(documents: list[Manifest]) -> str:
    the(documents, "ScaledObject", "worker-l4")["spec"]["triggers"][0]["metadata"]["lagThreshold"] = "1000"
    return "wanted 3000 × 30"


def _target_without_suffix(documents: list[Manifest]) -> str:
    the(documents, "ScaledObject", "worker-l4")["spec"]["scaleTargetRef"]["name"] = "worker"
    return "scales worker, which is not there"


def _killed_while_draining(documents: list[Manifest]) -> str:
    the(documents, "Deployment", "worker-l4")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 30
    return "grace 30 s, drain 75 s"


def _password(documents: list[Manifest]) -> str:
    container = the(documents, "Deployment", "query")["spec"]["template"]["spec"]["containers"][0]
    container["env"].append({"name": "MIEN_REDIS_PASSWORD", "value": "secret"})
    return "MIEN_REDIS_PASSWORD stands in the manifest"


def _writable_root(documents: list[Manifest]) -> str:
    container = the(documents, "Deployment", "ingest")["spec"]["template"]["spec"]["containers"][0]
    container["securityContext"]["readOnlyRootFilesystem"] = False
    return "its root can be written to"


def _lost_claim(documents: list[Manifest]) -> str:
    documents.remove(the(documents, "PersistentVolumeClaim", "plans-l4"))
    return "claims plans-l4, which is not there"


BREAKS = (
    _too_many_workers,
    _other_threshold,
    _target_without_suffix,
    _killed_while_draining,
    _password,
    _writable_root,
    _lost_claim,
)


@pytest.mark.parametrize("harm", BREAKS, ids=lambda harm: harm.__name__.strip("_"))
def test_a_broken_rule_is_found(harm: Any, production: list[Manifest]) -> None:
    harmed = copy.deepcopy(production)
    wanted = harm(harmed)
    assert any(wanted in problem for problem in rules.problems(harmed)), rules.problems(harmed)
    assert rules.problems(production) == []


def test_a_typo_in_a_custom_resource_and_in_a_pod_is_found(production: list[Manifest], brought: Tools) -> None:
    scaled = copy.deepcopy(the(production, "ScaledObject", "worker-l4"))
    scaled["spec"]["maxReplicasCount"] = 3
    pod = copy.deepcopy(the(production, "Deployment", "query"))
    pod["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    found = "\n".join(schemas.problems(brought, [scaled, pod]))
    assert "maxReplicasCount" in found
    assert "readynessProbe" in found


def test_strimzi_makes_the_topics_of_the_contract(production: list[Manifest]) -> None:
    wanted = {topic.name: dict(topic.config) for topic in topics()}
    made = {each["metadata"]["name"]: each["spec"] for each in production if each["kind"] == "KafkaTopic"}
    assert made.keys() == wanted.keys()
    for name, spec in made.items():
        assert spec["config"] == {**wanted[name], "min.insync.replicas": "2"}
        assert spec["replicas"] == 3
    assert made["mien.sources.v1"]["partitions"] == made["mien.faces.v1"]["partitions"]


def test_the_small_cluster_makes_the_topics_of_the_contract(dev: list[Manifest]) -> None:
    command = the(dev, "Job", "topics")["spec"]["template"]["spec"]["containers"][0]["command"][-1]
    for topic in topics():
        (line,) = (line for line in command.split(";") if f"--topic {topic.name} " in line)
        words = line.split()
        assert words[words.index("--partitions") + 1] == str(topic.partitions)
        given = {word for before, word in itertools.pairwise(words) if before == "--config"}
        assert given == {f"{key}={value}" for key, value in topic.config.items()}


def _command_lines(documents: list[Manifest]) -> Iterator[tuple[str, set[str]]]:
    for name, spec in rules.pod_specs(documents):
        for container in spec["containers"]:
            if container["image"].partition(":")[0].rpartition("/")[2] in (
                *("ingest", "query", "worker-gpu", "mien-ingest", "mien-query", "mien-worker-cpu"),
            ):
                yield name, set(rules.options(container))


def test_options_in_the_manifests_exist_in_the_command_line(production: list[Manifest], dev: list[Manifest]) -> None:
    from typer.main import get_command

    from mien.cli import app

    commands = get_command(app).commands  # type: ignore[attr-defined]
    known = {
        name: {option.removeprefix("--") for parameter in command.params for option in parameter.opts}
        for name, command in commands.items()
    }
    seen = set()
    for name, given in (*_command_lines(production), *_command_lines(dev)):
        service = name.partition(" ")[2].partition("-")[0]
        if service in ("ingest", "worker", "query"):
            seen.add(service)
            assert given <= known["serve" if service == "query" else service], name
    assert seen == {"ingest", "worker", "query"}


def test_every_gpu_pool_asks_for_one_gpu_on_a_node_of_its_kind(brought: Tools) -> None:
    kinds = {
        "mig-1g": ("nvidia.com/mig-1g.10gb", "nvidia.com/mig-1g.10gb.product"),
        "shared": ("nvidia.com/gpu.shared", "nvidia.com/gpu.sharing-strategy"),
    }
    pools = [case for case in CASES if case.name in {f"pools/engine-build+{name}" for name in rendering.PRODUCTS}]
    assert len(pools) == len(rendering.PRODUCTS)
    for case in pools:
        resource, label = kinds.get(case.name.partition("+")[2], ("nvidia.com/gpu", "nvidia.com/gpu.product"))
        specs = dict(rules.pod_specs(case.render(brought)))
        assert len(specs) == 2  # the workers and the Job that builds their engines
        for spec in specs.values():
            assert set(spec["nodeSelector"]) == {label}
            for container in rules.containers(spec):
                asked = {key for key in container["resources"]["limits"] if key.startswith("nvidia.com/")}
                assert asked == {resource}
