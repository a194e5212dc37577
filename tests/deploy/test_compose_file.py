"""The compose files and the Dockerfile, without an engine: `tests/compose` has the real thing."""

import os
import re
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.compose.engine import compose_command

from nsqadmin.auth.oidc.roles import parse_group_role
from nsqadmin.config.options import NsqadminOptions, check
from nsqcore.app.config.load import load
from nsqcore.app.config.options import settings
from nsqd.config.options import NsqdOptions
from nsqlookupd.options import NsqlookupdOptions

ROOT = Path(__file__).parents[2]
MAIN = ROOT / "docker-compose.yml"
PUBLISHED = ROOT / "deploy/docker-compose.published.yml"
PROCESSES = ROOT / "deploy/docker-compose.processes.yml"
SECURE = ROOT / "deploy/docker-compose.secure.yml"
OIDC = ROOT / "deploy/docker-compose.oidc.yml"
OIDC_GIVEN = {
    "NSQ_OIDC_ISSUER": "https://id.example/realms/staff",
    "NSQ_OIDC_ROLE": "nsq-admins=admin,shop=operator:orders*,shop=operator:mail",
    "NSQ_OIDC_FOLDER": "/etc/nsq/oidc",
    "NSQ_ADMIN_URL": "https://nsq.example",
}
MONITORING = ["--profile", "monitoring"]
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
    ("files", "profile"),
    [
        ([MAIN], []),
        ([MAIN], MONITORING),
        ([MAIN, PUBLISHED], MONITORING),
        ([MAIN, PROCESSES], MONITORING),
        ([SECURE], []),
        ([SECURE, OIDC], MONITORING),
    ],
    ids=["plain", "main", "published", "processes", "secure", "oidc"],
)
def test_compose_has_nothing_to_complain_about(files, profile):
    if not (compose := compose_command()):
        pytest.skip("no docker compose here")
    words = [word for file in files for word in ("-f", str(file))]
    done = subprocess.run(
        [*compose, *words, *profile, "config"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"NSQ_HOST_ADDRESS": "192.0.2.1"} | OIDC_GIVEN,
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
    for file in MAIN, PUBLISHED, PROCESSES, SECURE, OIDC:
        for name, service in services(file).items():
            variables = service.get("environment", {})
            given = {key for key in variables if key.partition("_")[0] in PROGRAMS}
            assert given <= known, (file, name)


def filled_in(text: str, given: Mapping[str, str]) -> str:
    """``text`` as compose understands it; what has to be given and is not raises KeyError."""
    with_defaults = re.sub(
        r"\$\{(\w+):-(.*?)\}", lambda found: given.get(found[1]) or found[2], text
    )
    return re.sub(r"\$\{(\w+):\?.*?\}", lambda found: given[found[1]], with_defaults)


@pytest.mark.parametrize("authority", ["", "/oidc/ca.crt"])
def test_people_log_in_at_a_provider_where_the_overlay_is_used(tmp_path, authority):
    (tmp_path / "secret").write_text("s3cret\n")
    (tmp_path / "users").write_text("")
    (tmp_path / "ca.crt").write_text("")
    (tmp_path / "token").write_text("t")
    variables = {}
    for file in SECURE, OIDC:
        for key, value in services(file)["nsqadmin"]["environment"].items():
            told = filled_in(value, OIDC_GIVEN | {"NSQ_OIDC_CA": authority})
            variables[key] = re.sub("^/(oidc|secrets)(?=/)", str(tmp_path), told)
    options = load(NsqadminOptions, "nsqadmin", [], variables)
    check(options)
    assert options.oidc_issuer == "https://id.example/realms/staff"
    assert options.oidc_redirect_url == "https://nsq.example/login/oidc/callback"
    roles = [parse_group_role(each) for each in options.oidc_roles]
    assert [(group, given.role.name, given.topics) for group, given in roles] == [
        ("nsq-admins", "ADMIN", ("*",)),
        ("shop", "OPERATOR", ("orders*",)),
        ("shop", "OPERATOR", ("mail",)),
    ]
    assert Path(options.oidc_client_secret_file) == tmp_path / "secret"
    assert bool(options.oidc_tls_root_ca_file) == bool(authority)
    (volume,) = services(OIDC)["nsqadmin"]["volumes"]
    assert filled_in(volume, OIDC_GIVEN) == "/etc/nsq/oidc:/oidc:ro"


@pytest.mark.parametrize("missing", ["NSQ_OIDC_ISSUER", "NSQ_OIDC_ROLE", "NSQ_OIDC_FOLDER"])
def test_the_overlay_says_what_it_lacks(missing):
    given = {key: value for key, value in OIDC_GIVEN.items() if key != missing}
    with pytest.raises(KeyError, match=missing):
        filled_in(OIDC.read_text(), given)


def test_no_daemon_waits_until_another_is_healthy():
    """One nsqd that drained or had a full disk kept nsqadmin from starting."""
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
