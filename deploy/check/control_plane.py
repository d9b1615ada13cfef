"""A real etcd and kube-apiserver on loopback, built from Go's module proxy, for a strict dry run of manifests."""

import json
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from deploy.check.certificates import write_certificates
from deploy.check.rendering import Manifest
from deploy.check.tools import CRDS, CheckFailed, Tools, cache, key_of, program, run

MODULE = Path(__file__).parent / "controlplane"
PACKAGES = {"etcd": "go.etcd.io/etcd/server/v3", "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver"}
READY_S, BUILD_S, DRY_RUN_S = 120.0, 3600.0, 300.0
# Without optimisation: a third less to build, and what is checked runs for seconds.
FLAGS = ("-gcflags=all=-N -l", "-trimpath", "-buildvcs=false", "-mod=readonly")
VERSION = "k8s.io/component-base/version"


@dataclass(frozen=True, slots=True)
class Programs:
    """The two servers."""

    etcd: Path
    apiserver: Path


def programs_folder() -> Path:
    """Return where the servers lie once built: another go.mod or other flags are another folder."""
    return cache() / f"controlplane-{key_of(MODULE / 'go.mod', MODULE / 'go.sum', text=' '.join(FLAGS))}"


def built() -> Programs | None:
    """Return the servers if they are built."""
    folder = programs_folder()
    found = Programs(folder / "etcd", folder / "kube-apiserver")
    return found if found.etcd.exists() and found.apiserver.exists() else None


def build() -> Programs:
    """Return the servers; build them if they are not: five minutes on two free cores, and 2.5 GB of Go's cache.

    Raises:
        CheckFailed: there is no Go, or it failed.
    """
    found = built()
    if found:
        return found
    folder, go = programs_folder(), program("go")
    folder.mkdir(parents=True, exist_ok=True)
    version = _kubernetes_version()
    stamp = (
        f"-s -w -X {VERSION}.gitVersion={version} -X {VERSION}.gitMajor=1 -X {VERSION}.gitMinor={version.split('.')[1]}"
    )
    for name, package in PACKAGES.items():
        print(f"Building {name} {version} (once) …", flush=True)
        environment = {**os.environ, "CGO_ENABLED": "0"}
        unfinished = folder / f".{name}"
        command = [go, "build", *FLAGS, "-ldflags", stamp, "-o", str(unfinished), package]
        done = subprocess.run(
            command, cwd=MODULE, env=environment, capture_output=True, text=True, timeout=BUILD_S, check=False
        )
        if done.returncode:
            raise CheckFailed(f"go could not build {name}:\n{done.stderr[-3000:]}")
        unfinished.rename(folder / name)
    return Programs(folder / "etcd", folder / "kube-apiserver")


@contextmanager
def running(programs: Programs, tools: Tools) -> Iterator["ApiServer"]:
    """Give an API server that knows our custom resources; it and its etcd end with the block.

    Raises:
        CheckFailed: it does not get ready.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mien-api-")))
        etcd, peers, secure = _free_ports(3)
        write_certificates(folder)
        stack.enter_context(_process(_etcd(programs, folder, etcd, peers), folder / "etcd.log"))
        stack.enter_context(_process(_apiserver(programs, folder, etcd, secure), folder / "apiserver.log"))
        server = ApiServer(tools, _kubeconfig(folder, secure))
        server.wait(folder / "apiserver.log")
        server.learn_custom_resources()
        yield server


@dataclass(frozen=True, slots=True)
class ApiServer:
    """A real API server to ask."""

    tools: Tools
    kubeconfig: Path

    def kubectl(self, *arguments: str | Path, stdin: str | None = None) -> str:
        """Return what kubectl prints, warnings included; raises `CheckFailed` where it fails."""
        return run([self.tools.kubectl, "--kubeconfig", self.kubeconfig, *arguments], stdin=stdin, timeout_s=DRY_RUN_S)

    def wait(self, log: Path) -> None:
        """Return when it is ready."""
        end = time.monotonic() + READY_S
        while time.monotonic() < end:
            try:
                self.kubectl("get", "--raw", "/readyz")
            except CheckFailed:
                time.sleep(0.2)
            else:
                return
        raise CheckFailed(f"the API server is not ready after {READY_S:g} s:\n{log.read_text()[-2000:]}")

    def learn_custom_resources(self) -> None:
        """Apply the definitions, and return when they are served."""
        self.kubectl("apply", "--server-side", "-f", CRDS)
        end = time.monotonic() + READY_S
        while time.monotonic() < end:
            found = json.loads(self.kubectl("get", "crd", "-o", "json"))["items"]
            if all(_is_established(each) for each in found):
                return
            time.sleep(0.3)
        raise CheckFailed("the custom resources are not served")

    def apply_namespace(self, namespace: Manifest) -> None:
        """Make the namespace for real: a dry run of what lies in it needs it, and its labels switch Pod Security on."""
        self.kubectl("apply", "--validate=strict", "-f", "-", stdin=yaml.safe_dump(namespace))

    def problems(self, documents: Sequence[Manifest]) -> list[str]:
        """Return what a strict server-side dry run refuses or warns of; Pod Security warns of pods that break it."""
        text = yaml.safe_dump_all(documents)
        try:
            printed = self.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=text)
        except CheckFailed as error:
            return str(error).splitlines()[1:]
        return [line for line in printed.splitlines() if line.startswith("Warning")]


def _is_established(definition: Manifest) -> bool:
    conditions = definition.get("status", {}).get("conditions") or []
    return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)


def _kubernetes_version() -> str:
    words = (MODULE / "go.mod").read_text().split()
    return words[words.index("k8s.io/kubernetes") + 1]


def _etcd(programs: Programs, folder: Path, port: int, peers: int) -> list[str]:
    client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peers}"
    return [
        str(programs.etcd),
        "--name=m",
        f"--data-dir={folder}/etcd",
        "--unsafe-no-fsync",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=m={peer}",
        "--log-level=warn",
    ]


def _apiserver(programs: Programs, folder: Path, etcd: int, port: int) -> list[str]:
    return [
        str(programs.apiserver),
        f"--etcd-servers=http://127.0.0.1:{etcd}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={port}",
        "--endpoint-reconciler-type=none",
        f"--tls-cert-file={folder}/server.crt",
        f"--tls-private-key-file={folder}/server.key",
        f"--client-ca-file={folder}/ca.crt",
        "--service-cluster-ip-range=10.0.0.0/16",
        "--authorization-mode=RBAC",
        "--anonymous-auth=false",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={folder}/sa.key",
        f"--service-account-signing-key-file={folder}/sa.key",
        "--profiling=false",
    ]


def _kubeconfig(folder: Path, port: int) -> Path:
    path = folder / "kubeconfig"
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [
                    {
                        "name": "c",
                        "cluster": {"server": f"https://127.0.0.1:{port}", "certificate-authority": f"{folder}/ca.crt"},
                    }
                ],
                "users": [
                    {
                        "name": "u",
                        "user": {"client-certificate": f"{folder}/admin.crt", "client-key": f"{folder}/admin.key"},
                    }
                ],
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "x",
            }
        )
    )
    return path


@contextmanager
def _process(command: list[str], log: Path) -> Iterator[None]:
    """Run a server until the block ends; what it prints goes to `log`."""
    with log.open("w") as out, subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT) as process:
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
