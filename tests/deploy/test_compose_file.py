"""The compose files and the Dockerfile, without an engine: `tests/compose` has the real thing."""

import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.compose.engine import compose_command

from nsqadmin.config.options import NsqadminOptions
from nsqcore.app.config.options import settings
from nsqd.config.options import NsqdOptions
from nsqlookupd.options import NsqlookupdOptions

ROOT = Path(__file__).parents[2]
MAIN = ROOT / "docker-compose.yml"
PUBLISHED = ROOT / "deploy/docker-compose.published.yml"
PROCESSES = ROOT / "deploy/docker-compose.processes.yml"
SECURE = ROOT / "deploy/docker-compose.secure.yml"
PROGRAMS = {"NSQD": NsqdOptions, "NSQLOOKUPD": NsqlookupdOptions, "NSQADMIN": NsqadminOptions}


def services(*files: Path) -> dict[str, Any]:
    """All services of compose files, by name."""
    found: dict[str, Any] = {}
    for file in files:
        for name, service in yaml.safe_load(file.read_text())["services"].items():
            found[name] = found.get(name, {}) | service
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "files",
    [[MAIN], [MAIN, PUBLISHED], [MAIN, PROCESSES], [SECURE]],
    ids=["main", "published", "processes", "secure"],
)
@pytest.mark.parametrize("profile", [[], ["--profile", "monitoring"]], ids=["plain", "monitoring"])
def test_compose_has_nothing_to_complain_about(files, profile):
    if not (compose := compose_command()):
        pytest.skip("no docker compose here")
    words = [word for file in files for word in ("-f", str(file))]
    done = subprocess.run(
        [*compose, *words, *profile, "config"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"NSQ_HOST_ADDRESS": "192.0.2.1"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    shown = set(yaml.safe_load(done.stdout)["services"])
    assert {"nsqlookupd-1", "nsqlookupd-2", "nsqadmin"} <= shown


def test_monitoring_is_off_unless_asked_for():
    profiles = {name: service.get("profiles") for name, service in services(MAIN).items()}
    assert [name for name, given in profiles.items() if given] == ["prometheus", "grafana"]
    assert profiles["prometheus"] == profiles["grafana"] == ["monitoring"]


def test_every_service_has_limits_a_restart_policy_and_loopback_ports():
    for name, service in services(MAIN).items():
        assert service["restart"] == "unless-stopped", name
        assert service["mem_limit"], name
        assert service["cpus"], name
        for port in service["ports"]:
            assert re.fullmatch(r"\$\{\w+:-127\.0\.0\.1:[\d-]+\}:\d+", port), (name, port)


def test_every_variable_of_a_program_is_a_setting():
    known = {
        variable
        for prefix, options in PROGRAMS.items()
        for setting in settings(options, prefix.lower())
        for variable in setting.variables
    }
    for name, service in services(MAIN, PUBLISHED).items():
        given = {key for key in service.get("environment", {}) if key.partition("_")[0] in PROGRAMS}
        assert given <= known, name


def test_no_daemon_waits_until_another_is_healthy():
    """Fault 51: one nsqd that drained or had a full disk kept nsqadmin from starting."""
    for name, service in services(MAIN, PUBLISHED).items():
        needed = service.get("depends_on", [])
        assert isinstance(needed, list), name
        assert not any(other.startswith("nsqd") for other in needed), name


def test_the_health_check_is_patient():
    check = re.search(r"^HEALTHCHECK (.*) CMD", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert check is not None
    flags = dict(re.findall(r"--(\S+)=(\d+)", check[1]))
    assert int(flags["timeout"]) >= 10
    assert int(flags["interval"]) * int(flags["retries"]) >= 30


def test_an_external_address_leads_to_the_ports_that_are_published():
    for number in 1, 2, 3:
        service = services(PUBLISHED)[f"nsqd-{number}"]
        published = [port.split(":")[-2:] for port in service["ports"]]
        outside = [port for port, _ in published]
        assert service["environment"]["NSQD_EXTERNAL_ADDRESS"].split(":")[-2:] == outside
        for _, inside in published:
            assert f"address=:{inside}" in " ".join(service["command"])


def test_every_daemon_is_scraped_at_the_port_it_listens_on():
    jobs = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"]
    scraped = {
        (job["job_name"], name, found["port"])
        for job in jobs
        for found in job["dns_sd_configs"]
        for name in found["names"]
    }
    usual = {"nsqd": 4151, "nsqlookupd": 4161, "nsqadmin": 4171}
    wanted = set()
    for name, service in services(MAIN, PUBLISHED).items():
        program, *flags = service.get("command", [""])
        program = program.removesuffix("-slot")
        if program in usual:
            ports = [int(flag.partition(":")[2]) for flag in flags if flag.startswith("--http-")]
            wanted.add((program, name, *(ports or [usual[program]])))
    # one file replaces the nsqd of the other
    wanted.add(("nsqd", "nsqd", 4151))
    assert scraped == wanted


def test_all_that_is_packaged_is_let_into_the_image():
    let_in = (ROOT / ".dockerignore").read_text().splitlines()
    packaged = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    needed = {Path(folder).parts[0] for folder in packaged["package-dir"].values()}
    needed |= {"pyproject.toml", "setup.py", "compiling", "README.md", "LICENSE", "deploy/docker"}
    assert {f"!{each}" for each in needed} <= set(let_in)
