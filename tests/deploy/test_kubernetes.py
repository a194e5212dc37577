"""The manifests fit the schemas of Kubernetes, and each other."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from nsqadmin.config.options import NsqadminOptions
from nsqcore.app.config.load import load
from nsqd.config.options import NsqdOptions
from nsqlookupd.options import NsqlookupdOptions

FOLDER = Path(__file__).parents[2] / "deploy/kubernetes"
PROGRAMS = {"nsqd": NsqdOptions, "nsqlookupd": NsqlookupdOptions, "nsqadmin": NsqadminOptions}
PORTS = {"nsqd": {4150, 4151}, "nsqlookupd": {4160, 4161}, "nsqadmin": {4171}}


def objects() -> dict[tuple[str, str], Any]:
    """Every object, by kind and name."""
    found = {}
    for file in ("nsqlookupd.yaml", "nsqd.yaml", "nsqadmin.yaml"):
        for each in yaml.safe_load_all((FOLDER / file).read_text()):
            found[each["kind"], each["metadata"]["name"]] = each
    return found


OBJECTS = objects()
PODS = {
    name: each["spec"]["template"]
    for (kind, name), each in OBJECTS.items()
    if kind in ("StatefulSet", "Deployment")
}


def test_there_is_all_that_a_cluster_needs():
    assert set(OBJECTS) == {
        ("StatefulSet", "nsqd"),
        ("StatefulSet", "nsqlookupd"),
        ("Deployment", "nsqadmin"),
        ("Service", "nsqd"),
        ("Service", "nsqd-nodes"),
        ("Service", "nsqlookupd"),
        ("Service", "nsqadmin"),
        ("PodDisruptionBudget", "nsqd"),
        ("PodDisruptionBudget", "nsqlookupd"),
        ("PodDisruptionBudget", "nsqadmin"),
    }


@pytest.mark.slow  # the schemas are large
@pytest.mark.parametrize("which", OBJECTS, ids="/".join)
def test_every_object_fits_its_schema_and_has_no_unknown_field(which):
    kubernetes_validate.validate(OBJECTS[which], "1.31", strict=True)


@pytest.mark.slow
def test_the_folder_is_a_kustomization():
    if not shutil.which("kubectl"):
        pytest.skip("no kubectl here")
    # Neither a cluster nor a configuration of one is to be looked for.
    done = subprocess.run(
        ["kubectl", "kustomize", FOLDER],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "KUBECONFIG": os.devnull},
    )
    assert done.returncode == 0, done.stderr
    assert len(list(yaml.safe_load_all(done.stdout))) == len(OBJECTS)


@pytest.mark.parametrize("kind_name", OBJECTS, ids="/".join)
def test_selectors_select_the_pods_of_their_own_program(kind_name):
    spec = OBJECTS[kind_name]["spec"]
    selector = spec["selector"].get("matchLabels", spec["selector"])
    chosen = [name for name, pod in PODS.items() if selector.items() <= labels(pod).items()]
    assert chosen == [kind_name[1].removesuffix("-nodes")]


def labels(pod: Any) -> dict[str, str]:
    """The labels of a pod template."""
    return dict(pod["metadata"]["labels"])


@pytest.mark.parametrize("name", PODS)
def test_ports_are_those_that_the_program_listens_on_and_probes_use_them(name):
    (container,) = PODS[name]["spec"]["containers"]
    named = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert set(named.values()) == PORTS[name]
    for probe, path in {"liveness": "livez", "readiness": "readyz", "startup": "livez"}.items():
        asked = container[f"{probe}Probe"]["httpGet"]
        assert asked == {"path": f"/{path}", "port": "http"}
    for (kind, _), service in OBJECTS.items():
        if kind == "Service" and service["spec"]["selector"].items() <= labels(PODS[name]).items():
            ports = service["spec"]["ports"]
            assert {port["targetPort"]: port["port"] for port in ports} == named


@pytest.mark.parametrize("name", PODS)
def test_every_variable_is_a_setting_with_a_value_that_parses(name):
    (container,) = PODS[name]["spec"]["containers"]
    known = {each["name"]: each.get("value", "10.0.0.1") for each in container["env"]}
    given = {key: value for key, value in known.items() if not key.startswith("POD_")}
    expanded = {k: re.sub(r"\$\((\w+)\)", lambda m: known[m[1]], v) for k, v in given.items()}
    options = PROGRAMS[name]
    assert load(options, name, [], expanded) != load(options, name, [], {})
    for key in given:
        rest = {each: value for each, value in expanded.items() if each != key}
        default = load(options, name, [], rest) == load(options, name, [], expanded)
        assert not default or key == "NSQD_SIGTERM", f"{key} changes nothing"


def test_what_the_pods_look_for_are_pods_of_the_stateful_set_of_nsqlookupd():
    stateful = OBJECTS["StatefulSet", "nsqlookupd"]["spec"]
    names = {f"nsqlookupd-{n}.{stateful['serviceName']}" for n in range(stateful["replicas"])}
    for pod, variable in {
        "nsqd": "NSQD_LOOKUPD_TCP_ADDRESS",
        "nsqadmin": "NSQADMIN_LOOKUPD_HTTP_ADDRESS",
    }.items():
        (container,) = PODS[pod]["spec"]["containers"]
        (value,) = (each["value"] for each in container["env"] if each["name"] == variable)
        assert {address.partition(":")[0] for address in value.split(",")} == names


@pytest.mark.parametrize("name", PODS)
def test_no_pod_runs_as_root_or_may_become_it(name):
    spec = PODS[name]["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["automountServiceAccountToken"] is False
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
