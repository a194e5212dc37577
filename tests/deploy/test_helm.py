"""The chart: what it makes fits Kubernetes, the programs, and itself."""

import base64
import os
import re
import ssl
import subprocess
import sysconfig
from typing import Any

import kubernetes_validate
import pytest
from tests.deploy.chart import CHART, helm, rendered

from nsqadmin.auth.accounts import Accounts, RoleOnTopics
from nsqadmin.auth.accounts import Role as AdminRole
from nsqadmin.config.options import NsqadminOptions
from nsqcore.access.file import parse_credentials
from nsqcore.access.roles import Role
from nsqcore.access.tokens import hash_token
from nsqcore.app.config.load import load
from nsqd.client.acl import parse_acl
from nsqd.config.options import NsqdOptions
from nsqlookupd.options import NsqlookupdOptions

pytestmark = pytest.mark.slow

PROGRAMS = {"nsqd": NsqdOptions, "nsqlookupd": NsqlookupdOptions, "nsqadmin": NsqadminOptions}
DEFAULTS = {"stop", "none", "false"}
OPERATORS = {"PodMonitor", "PrometheusRule", "ScaledObject"}

SECURE = """
tls: {enabled: true, required: true}
auth: {enabled: true, openMetrics: false}
networkPolicy: {enabled: true}
antiAffinity: hard
monitoring: {podMonitor: true, prometheusRule: true, labels: {release: prometheus}}
imagePullSecrets: [{name: registry}]
nsqd:
  zones: [a, b]
  durability: always
  persistence: {storageClass: fast}
  tolerations: [{key: nsq, operator: Exists}]
  env: {NSQD_LOG_LEVEL: debug}
nsqadmin:
  usersSecret: people
  oidc:
    issuer: https://id.example
    roles: ["shop=operator:orders*,mail"]
    secretName: oidc
    privateCa: true
  ingress: {enabled: true, className: nginx, path: /admin, tlsSecret: web, proxies: [10.0.0.0/8]}
keda:
  scaledObjects: [{name: mailer, deployment: mailer, topic: orders, channel: mail, depth: 50}]
"""
OUTSIDE = """
nsqd:
  persistence: {enabled: false}
  external: {enabled: true, host: nsq.example.org}
networkPolicy: {enabled: true}
antiAffinity: none
podDisruptionBudget: {enabled: false}
nsqadmin: {enabled: false}
"""
# With nothing said about people: the chart makes their user itself.
CLOSED = """
auth: {enabled: true}
nsqadmin: {ingress: {enabled: true}}
"""
# A job before upgrades.
GROWING = """
tls: {enabled: true}
imagePullSecrets: [{name: registry}]
nsqd: {persistence: {grow: true, size: 20Gi}, zones: [a, b], tolerations: [{key: nsq}]}
"""
VALUES = {"default": "", "growing": GROWING, "secure": SECURE, "outside": OUTSIDE, "closed": CLOSED}


@pytest.fixture(scope="module", params=VALUES)
def objects(request):
    """Every object that the chart makes of some values."""
    return rendered(VALUES[request.param])


def pods(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [each["spec"]["template"] for each in objects if "template" in each.get("spec", {})]


def understood(program: str, settings: dict[str, str], flags: list[str]) -> object:
    """What ``program`` takes ``settings`` for; None where it refuses them."""
    try:
        return load(PROGRAMS[program], program, flags, settings)
    except SystemExit:
        return None


def labels(pod: dict[str, Any]) -> dict[str, str]:
    return dict(pod["metadata"]["labels"])


def environment(pod: dict[str, Any]) -> dict[str, str]:
    (container,) = pod["spec"]["containers"]
    known = {each["name"]: each.get("value", "red-nsqd-0") for each in container["env"]}
    return {k: re.sub(r"\$\((\w+)\)", lambda m: known[m[1]], v) for k, v in known.items()}


def test_helm_has_nothing_to_complain_about():
    done = helm("lint", "--strict", CHART)
    assert done.returncode == 0, done.stdout


def test_every_object_fits_its_schema_and_has_no_unknown_field(objects):
    for each in objects:
        if each["kind"] not in OPERATORS:
            kubernetes_validate.validate(each, "1.31", strict=True)


def test_every_variable_is_a_setting_with_a_value_that_parses(objects, tmp_path):
    mounted = {"people/users": b"", "oidc/secret": b"", "oidc/ca.crt": b""}
    for name, content in secrets(objects).items():
        mounted |= {f"{name.removeprefix('red-')}/{key}": data for key, data in content.items()}
    for name, data in mounted.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    for pod in pods(objects):
        program = pod["metadata"]["labels"]["app.kubernetes.io/name"]
        if program not in PROGRAMS:
            continue
        given = environment(pod)
        settings = {
            key: value.replace("/etc/nsq", str(tmp_path))
            for key, value in given.items()
            if not key.startswith(("POD_", "NSQ_"))
        }
        flags = pod["spec"]["containers"][0]["args"][1:]
        meant = understood(program, settings, flags)
        assert meant is not None
        for key, value in settings.items():
            without = {k: v for k, v in settings.items() if k != key}
            if value not in DEFAULTS and not key.endswith("_TLS_REQUIRED"):
                assert understood(program, without, flags) != meant, key


def test_services_and_policies_select_the_pods_of_their_own_release_alone():
    for values in VALUES.values():
        red, blue = rendered(values, "red"), rendered(values, "blue")
        names = [(each["kind"], each["metadata"]["name"]) for each in red + blue]
        assert len(set(names)) == len(names)
        for each in red:
            spec = each.get("spec", {})
            selector = spec.get("selector") or spec.get("podSelector")
            if not selector or each["kind"] in OPERATORS:
                continue
            wanted = dict(selector.get("matchLabels", selector))
            # the name of a pod is a label that Kubernetes adds
            wanted.pop("statefulset.kubernetes.io/pod-name", None)
            chosen = [
                pod for pod in pods(red) if wanted.items() <= pod["metadata"]["labels"].items()
            ]
            assert chosen, each["metadata"]["name"]
            for pod in pods(blue):
                assert not wanted.items() <= pod["metadata"]["labels"].items()


def test_ports_of_services_lead_to_ports_of_pods(objects):
    for service in objects:
        if service["kind"] != "Service":
            continue
        wanted = dict(service["spec"]["selector"])
        wanted.pop("statefulset.kubernetes.io/pod-name", None)
        for pod in pods(objects):
            if wanted.items() <= labels(pod).items():
                (container,) = pod["spec"]["containers"]
                named = {port["name"] for port in container["ports"]}
                assert {port["targetPort"] for port in service["spec"]["ports"]} <= named


def test_no_pod_runs_as_root_or_may_become_it(objects):
    for pod in pods(objects):
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        assert pod["spec"]["automountServiceAccountToken"] is False
        (container,) = pod["spec"]["containers"]
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["allowPrivilegeEscalation"] is False


def test_each_zone_has_its_nsqd_and_tells_consumers_of_it():
    sets = [each for each in rendered(SECURE) if each["kind"] == "StatefulSet"]
    zones = {}
    for each in sets:
        pod = each["spec"]["template"]
        if (zone := environment(pod).get("NSQD_TOPOLOGY_ZONE")) is not None:
            zones[zone] = pod["spec"]["nodeSelector"]["topology.kubernetes.io/zone"]
    assert zones == {"a": "a", "b": "b"}


def secrets(objects: list[dict[str, Any]]) -> dict[str, dict[str, bytes]]:
    return {
        each["metadata"]["name"]: {
            key: base64.b64decode(value) for key, value in each["data"].items()
        }
        for each in objects
        if each["kind"] == "Secret"
    }


def test_the_certificate_that_the_chart_makes_is_of_the_names_that_are_told(tmp_path):
    objects = rendered(SECURE)
    made = secrets(objects)["red-tls"]
    for name, content in made.items():
        (tmp_path / name).write_bytes(content)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    told = set()
    for pod in pods(objects):
        for key, value in environment(pod).items():
            if key.endswith("BROADCAST_ADDRESS"):
                told.add(value)
            elif "LOOKUPD" in key and "ADDRESS" in key:
                told |= {each.split("//")[-1].rpartition(":")[0] for each in value.split(",")}
    assert len(told) >= 3
    for name in told:
        shake_hands(server, ssl.create_default_context(cafile=tmp_path / "ca.crt"), name)


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> None:
    """Raises ssl.SSLError where ``client`` does not take ``server`` for ``name``."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    here = client.wrap_bio(down, up, server_hostname=name)
    there = server.wrap_bio(up, down, server_side=True)
    for end in here, there, here, there:
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
    assert here.getpeercert()


def test_the_users_that_the_chart_makes_are_those_of_its_tokens():
    made = secrets(rendered(SECURE))["red-auth"]
    known = parse_credentials(made["users"].decode(), "users")
    roles = {key: grant.roles for key, grant in known.tokens.items()}
    assert roles == {
        hash_token(made["token"]): {Role.ADMIN},
        hash_token(made["publishToken"]): {Role.PUBLISH},
        hash_token(made["clientToken"]): {Role.PUBLISH, Role.READ},
    }


def test_clients_are_asked_for_a_secret_that_the_chart_makes():
    objects = rendered(CLOSED)
    made = secrets(objects)["red-auth"]
    known = parse_acl(made["acl.json"], "acl.json")
    allowed = {}
    for key in "clientToken", "publishToken":
        found = known[hash_token(made[key]), ""]
        allowed[key] = [
            found.allow("orders", "", "publish"),
            found.allow("orders", "mail", "subscribe"),
        ]
    assert allowed == {"clientToken": [True, True], "publishToken": [True, False]}
    (nsqd,) = (environment(pod) for pod in pods(objects) if "NSQD_AUTH_FILE" in environment(pod))
    assert nsqd["NSQD_AUTH_ACL_FILE"] == "/etc/nsq/auth/acl.json"


def test_nsqadmin_asks_who_people_are_where_the_daemons_do(tmp_path):
    objects = rendered(CLOSED)
    (pod,) = (pod for pod in pods(objects) if "initContainers" in pod["spec"])
    (first,) = pod["spec"]["initContainers"]
    password = secrets(objects)["red-auth"]["adminPassword"]
    (tmp_path / "auth").mkdir()
    (tmp_path / "people").mkdir()
    (tmp_path / "auth/adminPassword").write_bytes(password)
    words = [
        *first["command"],
        *(each.replace("/etc/nsq", str(tmp_path)) for each in first["args"]),
    ]
    path = f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}"
    subprocess.run(words, check=True, env={"PATH": path})
    assert environment(pod)["NSQADMIN_AUTH_FILE"] == "/etc/nsq/people/users"
    assert environment(pod)["NSQADMIN_AUDIT_FILE"] == "/dev/stdout"
    users = Accounts(tmp_path / "people/users")
    found = users.verify("admin", password.decode())
    assert found is not None
    assert found.grants == (RoleOnTopics(AdminRole.ADMIN),)


def test_no_rebound_name_is_answered_and_every_name_of_a_service_is():
    for pod in pods(rendered(CLOSED)):
        known = environment(pod)
        names = next(value for key, value in known.items() if key.endswith("_ALLOWED_HOST"))
        program = pod["metadata"]["labels"]["app.kubernetes.io/name"]
        assert f"red-{program}.nsq.svc.cluster.local" in names.split(",")
        assert "*" not in names


def test_what_keda_asks_is_answered(daemon):
    (scaler,) = [each for each in rendered(SECURE) if each["kind"] == "ScaledObject"]
    (trigger,) = scaler["spec"]["triggers"]
    asked = trigger["metadata"]
    assert trigger["type"] == "nsq"
    lookupd = daemon("nsqlookupd")
    nsqd = daemon("nsqd", f"--lookupd-tcp-address={lookupd.tcp}")
    topic, channel = asked["topic"], asked["channel"]
    nsqd.post(f"/topic/create?topic={topic}")
    nsqd.post(f"/channel/create?topic={topic}&channel={channel}")
    for _ in range(3):
        nsqd.post(f"/pub?topic={topic}", b"x")
    producers = lookupd.get(f"/lookup?topic={topic}")["producers"]
    (node,) = [f"{each['broadcast_address']}:{each['http_port']}" for each in producers]
    assert node == nsqd.http
    query = f"format=json&include_clients=false&include_mem=false&topic={topic}&channel={channel}"
    (found,) = nsqd.get(f"/stats?{query}")["topics"]
    (one,) = found["channels"]
    assert (one["channel_name"], one["depth"], one["paused"]) == (channel, 3, False)
