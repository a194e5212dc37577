"""An upgrade of the chart with larger volumes, before a cluster that has them smaller."""

import json
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import trustme
from attrs import define, field
from tests.deploy.chart import rendered
from tests.e2e.daemons import PATIENCE

pytestmark = pytest.mark.slow

VALUES = "nsqd: {persistence: {grow: true, size: 20Gi}, zones: [a, b]}"
CLAIMS = "/api/v1/namespaces/nsq/persistentvolumeclaims"
SETS = "/apis/apps/v1/namespaces/nsq/statefulsets"


def of_size(name: str, size: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {"resources": {"requests": {"storage": size}}},
    }


@define
class Cluster:
    """What of an API server the job needs, as it answers."""

    folder: Path
    address: str = ""
    claims: dict[str, str] = field(factory=dict)
    templates: dict[str, str] = field(factory=dict)
    refused: str = ""  # the claim that may not change
    rights: set[tuple[str, str]] = field(factory=set)  # what was used
    orphaned: list[str] = field(factory=list)
    leaving: dict[str, int] = field(factory=dict)  # looks at which a deleted set is still seen

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        where, _, query = unquote(path).partition("?")
        folder, _, name = where.rpartition("/")
        kind = "statefulsets" if SETS in where else "persistentvolumeclaims"
        self.rights.add((kind, "list" if query else method.lower()))
        if (method, where, query) == ("GET", CLAIMS, "labelSelector=app.kubernetes.io/name=nsqd"):
            return 200, {"items": [of_size(*each) for each in self.claims.items()]}
        if method == "PATCH" and folder == CLAIMS:
            if name == self.refused:
                return 403, {"message": "only dynamically provisioned pvc can be resized"}
            self.claims[name] = body["spec"]["resources"]["requests"]["storage"]
            return 200, {}
        if method == "DELETE" and folder == SETS and body == {"propagationPolicy": "Orphan"}:
            self.orphaned.append(name)
            self.leaving[name] = 1
            return 200, {}
        if method == "GET" and folder == SETS and name in self.templates:
            if self.leaving.get(name) == 0:
                return 404, {}
            if name in self.leaving:
                self.leaving[name] -= 1
            return 200, {"spec": {"volumeClaimTemplates": [of_size("data", self.templates[name])]}}
        return 404, {}

    def upgrade(self) -> "subprocess.CompletedProcess[str]":
        """Run the container of the job that the chart makes."""
        objects = {each["kind"]: each for each in rendered(VALUES) if is_of_upgrade(each)}
        (container,) = objects["Job"]["spec"]["template"]["spec"]["containers"]
        (self.folder / "grow.py").write_text(objects["ConfigMap"]["data"]["grow.py"])
        places = {each["mountPath"]: str(self.folder) for each in container["volumeMounts"]}
        words = [*container["command"], *container["args"]]
        for there, here in places.items():
            words = [word.replace(there, here) for word in words]
        host, port = self.address.split(":")
        variables = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
        return subprocess.run(
            [sys.executable, *words[1:]],
            env=variables | {"PYTHONIOENCODING": "utf-8"},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )


def is_of_upgrade(each: dict[str, Any]) -> bool:
    return each["metadata"].get("annotations", {}).get("helm.sh/hook") == "pre-upgrade"


@pytest.fixture
def cluster(tmp_path) -> Iterator[Cluster]:
    """A release whose volumes have 10Gi each, and others beside it."""
    small = ("data-red-nsqd-a-0", "data-red-nsqd-a-1", "data-red-nsqd-b-0", "data-blue-nsqd-0")
    state = Cluster(
        tmp_path,
        claims=dict.fromkeys(small, "10Gi"),
        templates={"red-nsqd-a": "10Gi", "red-nsqd-b": "10Gi", "blue-nsqd": "10Gi"},
    )

    class Handler(BaseHTTPRequestHandler):
        def respond(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length)) if length else None
            status, said = 401, {}
            if self.headers["Authorization"] == "Bearer secret":
                status, said = state.answer(self.command, self.path, body)
            content = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PATCH = do_DELETE = respond

        def log_message(self, *_: object) -> None:
            """Nothing."""

    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    (tmp_path / "token").write_text("secret")
    (tmp_path / "namespace").write_text("nsq")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        state.address = f"127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield state
        server.shutdown()
        thread.join()


def test_every_volume_of_the_release_grows_and_no_other(cluster) -> None:
    done = cluster.upgrade()
    assert (done.returncode, done.stderr) == (0, "")
    blue = {"data-blue-nsqd-0": "10Gi"}
    assert cluster.claims == dict.fromkeys(cluster.claims, "20Gi") | blue
    assert cluster.orphaned == ["red-nsqd-a", "red-nsqd-b"]


def test_what_has_its_size_stays_as_it_is(cluster) -> None:
    cluster.claims = dict.fromkeys(cluster.claims, "20480Mi")
    cluster.templates = dict.fromkeys(cluster.templates, "20Gi")
    done = cluster.upgrade()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert cluster.orphaned == []


def test_what_was_cut_off_is_finished_by_the_next_upgrade(cluster) -> None:
    cluster.claims["data-red-nsqd-a-0"] = "20Gi"
    del cluster.templates["red-nsqd-a"]
    assert cluster.upgrade().returncode == 0
    assert cluster.claims["data-red-nsqd-b-0"] == "20Gi"
    assert cluster.orphaned == ["red-nsqd-b"]


@pytest.mark.parametrize(
    ("claims", "refused", "said"),
    [
        ({"data-red-nsqd-b-0": "30Gi"}, "", "data-red-nsqd-b-0 has 30Gi: no volume shrinks"),
        ({}, "data-red-nsqd-b-0", "only dynamically provisioned pvc can be resized"),
    ],
    ids=["shrink", "refused"],
)
def test_what_cannot_be_done_ends_the_upgrade_and_says_why(cluster, claims, refused, said) -> None:
    cluster.claims |= claims
    cluster.refused = refused
    done = cluster.upgrade()
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert cluster.orphaned == []


def test_the_job_may_do_what_it_does_and_nothing_else(cluster) -> None:
    assert cluster.upgrade().returncode == 0
    objects = rendered(VALUES)
    (role,) = [each for each in objects if each["kind"] == "Role"]
    assert is_of_upgrade(role)
    claims, sets = role["rules"]
    rules = {(*rule["resources"], verb) for rule in role["rules"] for verb in rule["verbs"]}
    assert rules == cluster.rights
    assert "resourceNames" not in claims  # which a list cannot have
    names = [each["metadata"]["name"] for each in objects if each["kind"] == "StatefulSet"]
    assert sets["resourceNames"] == [name for name in names if "-nsqd-" in name]


def test_nothing_of_it_is_there_unless_it_is_wanted() -> None:
    assert not [each for each in rendered("") if is_of_upgrade(each)]
