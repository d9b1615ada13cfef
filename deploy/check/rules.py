"""Our own rules for manifests: what schemas cannot know."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from contract.topics import FACES, PARTITIONS
from deploy.check.rendering import Manifest

COMMIT_S = 5.0  # between two commits to the group, all that KEDA sees of progress (worker/kafka/settings.py)


def problems(documents: Sequence[Manifest]) -> list[str]:
    """Return what breaks a rule; one line each."""
    checks = (_pods, _scaling, _drains, _names)
    return [problem for check in checks for problem in check(documents)]


def pod_specs(documents: Iterable[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Yield (name, spec) of each template of pods."""
    for document in documents:
        if document["kind"] in ("Deployment", "StatefulSet", "Job", "DaemonSet"):
            yield f"{document['kind']} {document['metadata']['name']}", document["spec"]["template"]["spec"]


def containers(spec: Manifest) -> list[Manifest]:
    """Return all containers of a pod, those of its start included."""
    return [*spec.get("initContainers", []), *spec["containers"]]


def options(container: Manifest) -> dict[str, str]:
    """Return the options of a command line, `--name=value`."""
    given = (re.fullmatch(r"--([a-z-]+)(?:=(.*))?", each) for each in container.get("args", []))
    return {match[1]: match[2] or "" for match in given if match}


def _pods(documents: Sequence[Manifest]) -> Iterator[str]:
    for name, spec in pod_specs(documents):
        if spec.get("automountServiceAccountToken") is not False:
            yield f"{name}: gets a token of the API server"
        for container in containers(spec):
            where = f"{name}, {container['name']}"
            security = container.get("securityContext", {})
            if not security.get("readOnlyRootFilesystem") and container["name"] != "kafka":
                yield f"{where}: its root can be written to"
            resources = container.get("resources", {})
            if "memory" not in resources.get("limits", {}) or "cpu" not in resources.get("requests", {}):
                yield f"{where}: no limit of memory or no request of cpu"
            for variable in container.get("env", []):
                if re.search("PASSWORD$|SECRET$|TOKEN$", variable["name"]) and "value" in variable:
                    yield f"{where}: {variable['name']} stands in the manifest"


def _scaling(documents: Sequence[Manifest]) -> Iterator[str]:
    """Yield broken rules of lag: caps within the partitions, thresholds as stated, and above what a commit hides."""
    partitions = {
        each["metadata"]["name"]: each["spec"]["partitions"] for each in documents if each["kind"] == "KafkaTopic"
    }
    caps: dict[tuple[str, str], int] = defaultdict(int)
    for each in (document for document in documents if document["kind"] == "ScaledObject"):
        name, notes = each["metadata"]["name"], each["metadata"]["annotations"]
        for trigger in each["spec"]["triggers"]:
            lag: dict[str, Any] = trigger["metadata"]
            caps[lag["consumerGroup"], lag["topic"]] += each["spec"]["maxReplicaCount"]
            rate, catch_up_s = float(notes["mien/records-per-second"]), float(notes["mien/catch-up-seconds"])
            if float(lag["lagThreshold"]) != rate * catch_up_s:
                yield f"ScaledObject {name}: lagThreshold {lag['lagThreshold']}; wanted {rate:g} × {catch_up_s:g}"
            if catch_up_s < 3 * COMMIT_S:
                yield f"ScaledObject {name}: catches up in {catch_up_s:g} s; commits alone hide {COMMIT_S:g} s of lag"
    for (group, topic), cap in caps.items():
        room = partitions.get(topic, PARTITIONS if topic == FACES else 0)
        if cap > room:
            yield f"{group}: up to {cap} workers on the {room} partitions of {topic}; the rest could only wait"


def _drains(documents: Sequence[Manifest]) -> Iterator[str]:
    """Yield workers that Kubernetes would kill before they have drained, or that give up before the worst batch."""
    for name, spec in pod_specs(documents):
        for container in spec["containers"]:
            given = options(container)
            if "drain-s" in given:
                grace, drain = spec.get("terminationGracePeriodSeconds", 30), float(given["drain-s"])
                worst = float(given["inference-timeout-s"])
                if not grace > drain > worst > 0:
                    yield f"{name}: grace {grace} s, drain {drain:g} s, worst batch {worst:g} s; wanted them to fall"


def _names(documents: Sequence[Manifest]) -> Iterator[str]:
    """Yield references to what is not there."""
    there = {(each["kind"], each["metadata"]["name"]) for each in documents}
    for each in documents:
        target = each.get("spec", {}).get("scaleTargetRef")
        if target and ("Deployment", target["name"]) not in there:
            yield f"{each['kind']} {each['metadata']['name']} scales {target['name']}, which is not there"
    for name, spec in pod_specs(documents):
        for volume in spec.get("volumes", []):
            claim = volume.get("persistentVolumeClaim", {}).get("claimName")
            if claim and ("PersistentVolumeClaim", claim) not in there:
                yield f"{name}: claims {claim}, which is not there"
