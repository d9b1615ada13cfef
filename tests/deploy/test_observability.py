"""Alerts and dashboards: promtool takes them, each alert fires in a test and has a page, each metric is emitted."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.check.tools import REPOSITORY
from tests.components import missing
from worker.counters import STAGES, Counters
from worker.health import Health, metrics
from worker.store import Outcome

FOLDER = REPOSITORY / "deploy" / "observability"
RULES = yaml.safe_load((FOLDER / "rules.yml").read_text())
EACH = [rule for group in RULES["groups"] for rule in group["rules"]]
ALERTS = [rule for rule in EACH if "alert" in rule]
PANELS = [
    (path.stem, panel["title"], target["expr"])
    for path in sorted((FOLDER / "dashboards").glob("*.json"))
    for panel in json.loads(path.read_text())["panels"]
    for target in panel["targets"]
]


def promtool(*arguments: str | Path, folder: Path = FOLDER) -> subprocess.CompletedProcess[str]:
    tool = shutil.which("promtool")
    if tool is None:
        missing("promtool is not installed: apt-get install -y prometheus")
    return subprocess.run([tool, *arguments], cwd=folder, capture_output=True, text=True, check=False)


def emitted() -> set[str]:
    """Return the names of all samples that a worker with a little history emits."""
    counters = Counters(outcomes={outcome.value: 1 for outcome in Outcome})
    names = set(re.findall(r'"(\w+)":', _source_of_counts()))
    health = Health(counters=counters, lags=lambda: {0: 1}, log_counts=lambda: dict.fromkeys(names, 0))
    for stage in STAGES:
        with counters.timed(stage):
            pass
    return {re.split(r"[{ ]", line)[0] for line in metrics(health) if not line.startswith("#")}


def _source_of_counts() -> str:
    """Return the source of `ReportingLog.counts`, whose import would need a Kafka client."""
    text = (REPOSITORY / "worker" / "cluster.py").read_text()
    return text[text.index("def counts(") :].partition("\n\n")[0]


def metrics_in(expression: str) -> set[str]:
    return set(re.findall(r"\bmien_\w+", expression))


def test_promtool_takes_the_rules_and_every_alert_behaves_as_its_test_says() -> None:
    checked = promtool("check", "rules", "rules.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    tested = promtool("test", "rules", "rules_test.yml")
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_promtool_would_find_another_threshold(tmp_path: Path) -> None:
    for name in ("rules.yml", "rules_test.yml"):
        text = (FOLDER / name).read_text()
        (tmp_path / name).write_text(text.replace("mien:lag_seconds > 120", "mien:lag_seconds > 1200"))
    assert promtool("test", "rules", "rules_test.yml", folder=tmp_path).returncode != 0


def test_each_alert_fires_in_a_test() -> None:
    cases = yaml.safe_load((FOLDER / "rules_test.yml").read_text())["tests"]
    fired = {case["alertname"] for test in cases for case in test["alert_rule_test"] if case.get("exp_alerts")}
    assert fired == {rule["alert"] for rule in ALERTS}


@pytest.mark.parametrize("rule", EACH, ids=lambda rule: rule.get("alert", rule.get("record")))
def test_each_metric_of_a_rule_is_emitted(rule: dict[str, Any]) -> None:
    assert metrics_in(rule["expr"]) <= emitted()
    assert set(re.findall(r"mien:\w+", rule["expr"])) <= {each["record"] for each in EACH if "record" in each}


@pytest.mark.parametrize(("board", "panel", "expression"), PANELS, ids=lambda value: value[:40])
def test_each_metric_of_a_dashboard_is_emitted(board: str, panel: str, expression: str) -> None:
    assert metrics_in(expression) or "mien:" in expression
    assert metrics_in(expression) <= emitted()
    assert set(re.findall(r"mien:\w+", expression)) <= {each["record"] for each in EACH if "record" in each}


def test_a_metric_that_nobody_emits_would_be_found() -> None:
    assert not metrics_in("rate(mien_worker_rejects_total[5m])") <= emitted()


def test_promtool_takes_each_expression_of_a_dashboard(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": panel[2]} for number, panel in enumerate(PANELS)]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    checked = promtool("check", "rules", "panels.yml", folder=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_each_alert_has_a_page_that_names_it(rule: dict[str, Any]) -> None:
    page = (REPOSITORY / rule["annotations"]["runbook"]).read_text()
    assert rule["alert"] in page
    assert rule["labels"]["severity"] in ("page", "ticket")


def test_the_prometheus_operator_gets_the_same_rules() -> None:
    file = REPOSITORY / "deploy" / "kubernetes" / "components" / "prometheus" / "rules.yaml"
    assert yaml.safe_load(file.read_text())["spec"] == RULES
