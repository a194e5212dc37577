"""The rules, the dashboard and what the daemons tell Prometheus fit together."""

import contextlib
import http.client
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from tests.browser.stage import AdminProcess
from tests.e2e.daemons import PATIENCE, Daemon, wait_until
from tests.e2e.peer import Peer

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus/rules.yml"
DASHBOARD = DEPLOY / "grafana/dashboards/nsq.json"

pytestmark = pytest.mark.slow


def get(address: str, path: str) -> str:
    """The body of an answer; whatever changes something is a POST."""
    connection = http.client.HTTPConnection(address, timeout=PATIENCE)
    try:
        connection.request("GET" if path == "/metrics" else "POST", path, b"body")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What /metrics of each daemon answers, with a topic and a channel about."""
    daemons: dict[str, Daemon] = {}
    admin = AdminProcess(tmp_path_factory.mktemp("nsqadmin"), [])
    try:
        for program in ("nsqlookupd", "nsqd"):
            flags = ["--e2e-processing-latency-percentile=0.5,0.99"] if program == "nsqd" else []
            daemons[program] = Daemon(program, tmp_path_factory.mktemp(program), flags).start()
        nsqd = daemons["nsqd"].http
        get(nsqd, "/pub?topic=t")
        get(nsqd, "/channel/create?topic=t&channel=c")
        admin.flags = [f"--lookupd-http-address={daemons['nsqlookupd'].http}"]
        addresses = {program: daemon.http for program, daemon in daemons.items()}
        addresses["nsqadmin"] = f"127.0.0.1:{admin.start().port}"
        yield {program: get(address, "/metrics") for program, address in addresses.items()}
    finally:
        admin.stop()
        for daemon in daemons.values():
            daemon.clean_up()


def promtool(*words: object, **more: Any) -> str:
    """What promtool says, which has to be that all is well."""
    if not shutil.which("promtool"):
        pytest.skip("no promtool here; on Debian: apt install prometheus")
    done = subprocess.run(
        ["promtool", *map(str, words)], capture_output=True, text=True, check=False, **more
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("program", ["nsqd", "nsqlookupd", "nsqadmin"])
def test_promtool_finds_nothing_wrong_with_the_metrics(scraped, program):
    assert promtool("check", "metrics", input=scraped[program]) == ""


def test_promtool_finds_nothing_wrong_with_rules_and_configuration():
    promtool("check", "rules", RULES)
    promtool("check", "config", DEPLOY / "prometheus/prometheus.yml")


def test_the_alerts_go_off_when_they_should_and_not_before():
    promtool("test", "rules", Path(__file__).with_name("rules_test.yml"))


def expressions() -> dict[str, str]:
    """Every expression of the rules and of the dashboard, by who has it."""
    found = {}
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            found[rule.get("alert") or rule["record"]] = rule["expr"]
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel.get("targets", ()):
            found[f"{panel['title']} {target['refId']} {panel['id']}"] = target["expr"]
    return found


def test_whatever_is_asked_for_is_there(scraped):
    known = {
        sample.name
        for text in scraped.values()
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    choices = json.loads(DASHBOARD.read_text())["templating"]["list"]
    queries = {each["name"]: each["query"]["query"] for each in choices if each["type"] == "query"}
    for who, expression in (expressions() | queries).items():
        asked = set(re.findall(r"\b(?:nsq\w+?d|nsqadmin|process)_\w+", expression))
        assert asked <= known, (who, asked - known)


def test_the_page_on_metrics_has_every_metric_and_no_other(scraped):
    page = (DEPLOY.parent / "docs/metrics.md").read_text()
    told = set(re.findall(r"^\| `(nsq\w+)` \|", page, re.MULTILINE))
    known = {
        family.name + ("_total" if family.type == "counter" else "")
        for text in scraped.values()
        for family in text_string_to_metric_families(text)
        if family.name.startswith("nsq")
    }
    assert told == known


def test_the_page_on_metrics_has_the_labels_of_the_builds(scraped):
    page = (DEPLOY.parent / "docs/metrics.md").read_text()
    for program, text in scraped.items():
        (row,) = re.findall(rf"^\| `{program}_build_info` \|.*", page, re.MULTILINE)
        (label_set,) = re.findall(rf"^{program}_build_info{{(.*)}}", text, re.MULTILINE)
        told = re.findall(r"`(\w+)`", row.partition("labels")[2])
        assert told == re.findall(r"(\w+)=", label_set)


def test_the_page_on_metrics_has_every_alert():
    page = (DEPLOY.parent / "docs/metrics.md").read_text()
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            assert "record" in rule or f"`{rule['alert']}`" in page


def test_every_expression_of_the_dashboard_parses(tmp_path):
    rules = [
        {"record": "a:b:c", "expr": re.sub(r"\$__rate_interval", "5m", expression)}
        for expression in expressions().values()
    ]
    for number, rule in enumerate(rules):
        rule["record"] = f"test:rule:n{number}"
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))
    promtool("check", "rules", file)


def test_panels_do_not_overlap_and_have_numbers_of_their_own():
    panels = json.loads(DASHBOARD.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


def test_every_alert_says_what_happened_and_what_to_do():
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            if "alert" in rule:
                assert rule["labels"]["severity"] in ("critical", "warning", "info")
                assert set(rule["annotations"]) == {"summary", "description"}


def test_the_prometheus_rule_of_kubernetes_has_the_same_rules():
    rule = yaml.safe_load((DEPLOY / "kubernetes/monitoring/prometheusrule.yaml").read_text())
    told = "run: python scripts/prometheus_rule.py"
    assert rule["spec"] == yaml.safe_load(RULES.read_text()), told
    assert (DEPLOY / "helm/nsq-trio/rules.yml").read_text() == RULES.read_text(), told


def test_the_jobs_of_the_pod_monitor_are_those_that_the_rules_ask_for():
    monitor = yaml.safe_load((DEPLOY / "kubernetes/monitoring/podmonitor.yaml").read_text())
    selector = monitor["spec"]["selector"]["matchLabels"]
    jobs = set()
    for name in ("nsqd", "nsqlookupd", "nsqadmin"):
        for made in yaml.safe_load_all((DEPLOY / f"kubernetes/{name}.yaml").read_text()):
            template = made["spec"].get("template")
            if template is not None:
                given = template["metadata"]["labels"]
                assert selector.items() <= given.items()
                jobs.add(given[monitor["spec"]["jobLabel"]])
                (container,) = template["spec"]["containers"]
                ports = {port["name"] for port in container["ports"]}
                assert {end["port"] for end in monitor["spec"]["podMetricsEndpoints"]} <= ports
    assert jobs == {"nsqd", "nsqlookupd", "nsqadmin"}


def test_refusals_finished_messages_and_the_disk_are_counted(tmp_path):
    nsqd = Daemon("nsqd", tmp_path, []).start()
    try:
        nsqd.create("t", "c")
        nsqd.post("/mpub?topic=t", b"1\n2")
        with contextlib.closing(Peer.connect(nsqd.tcp_port)) as peer:
            peer.subscribe("t", "c", ready=2)
            peer.finish(peer.message())
            peer.message()  # is held, so that the drain does not end
            counted = 'nsqd_channel_finished_total{topic="t",channel="c"} 1'
            wait_until(lambda: counted in get(nsqd.http, "/metrics"))
            nsqd.request("PUT", "/config/drain")
            assert nsqd.request("POST", "/pub?topic=t", b"3")[0] == 503
            text = get(nsqd.http, "/metrics")
        assert re.search(r"^nsqd_publishes_refused_total [1-9]", text, re.MULTILINE)
        free, size = (
            float(re.search(rf"^nsqd_disk_{what}_bytes (\S+)", text, re.MULTILINE)[1])
            for what in ("free", "size")
        )
        assert 0 < free <= size
    finally:
        nsqd.clean_up()
