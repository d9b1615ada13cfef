"""A real Prometheus scrapes a worker under the shipped configuration and rules, and answers with our figures."""

import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.check.tools import REPOSITORY
from tests.components import missing
from worker.counters import STAGES, Counters
from worker.health import Health, HealthServer

FOLDER = REPOSITORY / "deploy" / "observability"
pytestmark = pytest.mark.integration


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def answer(url: str, query: str) -> list[Any]:
    try:
        found = httpx.get(f"{url}/api/v1/query", params={"query": query}, timeout=5).json()
    except httpx.TransportError:
        return []  # it starts
    assert found["status"] == "success", found
    return list(found["data"]["result"])


def test_prometheus_scrapes_a_worker_and_derives_its_lag(tmp_path: Path) -> None:
    if shutil.which("prometheus") is None:
        missing("prometheus is not installed: apt-get install -y prometheus")
    counters = Counters(outcomes={"applied": 7})
    health = Health(counters=counters, lags=lambda: {0: 40, 1: 2})
    for stage in STAGES:
        with counters.timed(stage):
            counters.records += 10
    worker = HealthServer("127.0.0.1", 0, health.pages())
    text = (FOLDER / "prometheus.yml").read_text()
    text = text.replace("scrape_interval: 15s", "scrape_interval: 1s")
    text = text.replace('["worker:8081", "worker-gpu:8081"]', f'["127.0.0.1:{worker.port}"]')
    (tmp_path / "prometheus.yml").write_text(text)
    (tmp_path / "rules.yml").write_text((FOLDER / "rules.yml").read_text().replace("interval: 15s", "interval: 1s"))
    url = f"http://127.0.0.1:{free_port()}"
    command = ["prometheus", "--config.file=prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]
    command += [f"--web.listen-address={url.removeprefix('http://')}", "--log.level=warn"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) as prometheus:
        try:
            for _ in range(300):
                if found := answer(url, "mien:lag_records"):
                    break
                time.sleep(0.2)
            assert [sample["value"][1] for sample in found] == ["42"]
            assert [sample["value"][1] for sample in answer(url, "sum(mien_worker_records_total)")] == ["50"]
            assert [sample["metric"]["outcome"] for sample in answer(url, "mien_worker_commits_total")] == ["applied"]
        finally:
            prometheus.terminate()
            worker.close()
