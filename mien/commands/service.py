"""`mien install-service`: systemd units for one plain machine, printed for whoever installs them."""

import re
import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from contract.errors import BadRequest


class Service(StrEnum):
    """What can run as a service."""

    INGEST = "ingest"
    WORKER = "worker"
    QUERY = "query"


# Exit codes that a new start does not help with (worker/service.py, contract/exit_codes.py): the unit stays failed.
_FINAL = {Service.WORKER: "2 64 65 66 78", Service.INGEST: "2", Service.QUERY: "2"}
_STOP_S = {Service.WORKER: 90, Service.INGEST: 60, Service.QUERY: 30}  # longer than the worst batch, as in Kubernetes
_TITLES = {
    Service.INGEST: "Mien: looks at cameras and videos",
    Service.WORKER: "Mien: reads faces",
    Service.QUERY: "Mien: serves timelines",
}
_UNIT = """\
# {path}
# Made by `mien install-service {service}`. To install it, as root:
#   mien install-service {service} > {path}
#   install -D -m 0640 -g {user} /dev/null /etc/mien/{service}.env    # MIEN_KAFKA_BOOTSTRAP=…, MIEN_REDIS_URL=…
#   systemctl daemon-reload && systemctl enable --now {name}
[Unit]
Description={title}
Documentation=https://www.freedesktop.org/software/systemd/man/systemd.service.html
After=network-online.target kafka.service redis-server.service
Wants=network-online.target
StartLimitIntervalSec=300
StartLimitBurst=20

[Service]
Type=exec
User={user}
Group={user}
EnvironmentFile=-/etc/mien/{service}.env
Environment=PYTHONUNBUFFERED=1
ExecStart={command}
Restart=always
RestartSec=5
RestartPreventExitStatus={final}
KillSignal=SIGTERM
TimeoutStopSec={stop_s}
StateDirectory=mien
CacheDirectory=mien
WorkingDirectory=%S/mien
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices={private_devices}
ProtectClock=yes
ProtectHostname=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectProc=invisible
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
CapabilityBoundingSet=
AmbientCapabilities=
UMask=0077
MemoryMax={memory}

[Install]
WantedBy=multi-user.target
"""


def install_service(
    service: Annotated[Service, typer.Argument(help="Which part of Mien.")],
    options: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[-- OPTION…]",
            help="Options of that command, after `--`, such as the cameras of ingest.",
            show_default=False,
        ),
    ] = None,
    user: Annotated[str, typer.Option(help="Whose rights it has; make it with `useradd --system`.")] = "mien",
    memory: Annotated[str, typer.Option(help="Most memory that systemd grants.")] = "4G",
    devices: Annotated[
        bool, typer.Option("--devices", help="Let it see devices: an NVIDIA GPU, a webcam at /dev/video0.")
    ] = False,
) -> None:
    """Print a systemd unit for one machine; nothing is installed."""
    print(unit(service, options or [], user=user, memory=memory, devices=devices), end="")


def unit(
    service: Service,
    options: list[str],
    *,
    user: str = "mien",
    memory: str = "4G",
    devices: bool = False,
    program: Path | None = None,
) -> str:
    """Return the text of a unit file.

    Args:
        options: of the command, each as one word of its command line.
        program: `mien` as systemd starts it; None: the one that runs now.

    Raises:
        BadRequest: a user or an amount of memory that systemd would not take, or an option with a line break.
    """
    if not re.fullmatch(r"[a-z_][a-z0-9_-]{0,30}", user):
        raise BadRequest(f"--user {user!r}: wanted a name such as mien, of small letters, digits, - and _")
    if not re.fullmatch(r"[1-9][0-9]*[KMGT]?", memory):
        raise BadRequest(f"--memory {memory!r}: wanted an amount such as 4G")
    name = f"mien-{service}.service"
    started = program or Path(sys.argv[0]).resolve()
    words = [str(started), "serve" if service is Service.QUERY else str(service), *options]
    return _UNIT.format(
        path=f"/etc/systemd/system/{name}",
        name=name,
        service=service,
        title=_TITLES[service],
        user=user,
        command=" ".join(map(_quoted, words)),
        final=_FINAL[service],
        stop_s=_STOP_S[service],
        memory=memory,
        private_devices="no" if devices else "yes",
    )


def _quoted(word: str) -> str:
    """Return a word as systemd reads it back: its own signs, % and $, are doubled.

    Raises:
        BadRequest: the word holds a line break or another control character.
    """
    if any(ord(sign) < 32 or ord(sign) == 127 for sign in word):
        raise BadRequest(f"the option {word!r} holds a control character, which no unit can")
    safe = word.replace("\\", "\\\\").replace("%", "%%").replace("$", "$$")
    if safe and shlex.quote(safe.replace("%", "").replace("$", "").replace("\\", "")) == safe:
        return safe
    return '"' + safe.replace('"', '\\"') + '"'
