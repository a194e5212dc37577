"""The compose cluster as tests see it: containers, their addresses and health, clients beside them.

Everything carries a project name of its own, and nothing else of the engine is touched. The host's
side of every published port is chosen by the kernel. All of this blocks.
"""

import http.client
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import define, field
from tests.e2e.daemons import wait_until
from tests.support.children import end_group, end_with_parent, with_all_it_starts

ROOT = Path(__file__).parents[2]
PEER = Path(__file__).with_name("peer.py")

# Seconds. Half a dozen containers start within 20 on two idle cores.
PATIENCE = 300.0

# Published ports, without which the cluster would take the well-known ones of this host.
PORTS = ("NSQ_LOOKUPD_1_HTTP", "NSQ_LOOKUPD_2_HTTP", "NSQ_NSQD_HTTP", "NSQ_ADMIN_HTTP")
FREE_PORTS = dict.fromkeys(PORTS, "127.0.0.1:")


# Seconds. A base image takes minutes on a busy machine with a slow mirror.
LONGEST = 3600.0


def run(*words: str | Path, **more: Any) -> str:
    """What a command prints; what it complains about goes into the failure.

    It and all that it started end when it takes too long, or when this process ends.
    """
    command = with_all_it_starts(*(str(word) for word in words))
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=end_with_parent,
        **more,
    ) as process:
        try:
            out, err = process.communicate(timeout=LONGEST)
        finally:
            if process.poll() is None:
                end_group(process)
    assert process.returncode == 0, f"{words}: {process.returncode}\n{out}\n{err}"
    return out.strip()


def compose_command() -> list[str]:
    """``docker compose``, or ``docker-compose`` as it was once called; empty without either."""
    for words in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(words[0]):
            done = subprocess.run([*words, "version"], capture_output=True, check=False)
            if done.returncode == 0:
                return words
    return []


def engine_trouble() -> str:
    """Why there can be no cluster here; empty if there can be one."""
    if not shutil.which("docker"):
        return "there is no docker command here"
    done = subprocess.run(["docker", "info"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return "there is no Docker engine here"
    return "" if compose_command() else "there is no docker compose here"


def image_sources() -> list[str]:
    """What an image is made of: all that .dockerignore lets in and is in the repository."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    kept = [line.removeprefix("!") for line in lines if line.startswith("!")]
    return ["Dockerfile", ".dockerignore", *(name for name in kept if name != "wheels")]


def build_image(tag: str, folder: Path) -> None:
    """Build the image ``tag`` from a copy of the sources.

    On NSQ_BASE_IMAGE and NSQ_BUILD_IMAGE if the environment names them; else without an image
    registry, on what `base_images.sh` makes, and without a network.
    """
    for name in image_sources():
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
        else:
            shutil.copyfile(source, target)
    run_image = os.environ.get("NSQ_BASE_IMAGE", "")
    build_image = os.environ.get("NSQ_BUILD_IMAGE", "")
    if not run_image or not build_image:
        run_image, build_image = run(ROOT / "tests/compose/base_images.sh").splitlines()[-2:]
        gather_wheels(run_image, folder)
    bases = (f"BASE_IMAGE={run_image}", f"BUILD_IMAGE={build_image}")
    arguments = [word for base in bases for word in ("--build-arg", base)]
    run("docker", "build", "--tag", tag, *arguments, folder)


def gather_wheels(image: str, folder: Path) -> None:
    """Put all that is to be installed into ``folder`` as wheels, for the Python of ``image``."""
    there = run("docker", "run", "--rm", image, "python3", "-c", _VERSION)
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert there == here, f"these tests run on Python {here}, the image has {there}"
    files = [
        word for name in ("build", "run") for word in ("-r", ROOT / f"requirements/{name}.txt")
    ]
    wheels = ("download", "--quiet", "--require-hashes", "--only-binary=:all:", *files)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    run(*pip, *wheels, "--dest", folder / "wheels")


_VERSION = "import sys; print(*sys.version_info[:2], sep='.')"


@define(eq=False)
class Client:
    """A `peer.py` that runs somewhere; ``output`` is the file of what it prints."""

    process: subprocess.Popen[bytes]
    output: Path
    container: str = ""

    def lines(self) -> list[str]:
        """What it has printed so far."""
        return self.output.read_text().splitlines()

    def stop(self) -> None:
        """End it."""
        if self.container:
            subprocess.run(
                ["docker", "rm", "--force", self.container], capture_output=True, check=False
            )
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


@define(eq=False)
class Cluster:
    """One compose project, from `up` to `down`."""

    project: str
    image: str
    folder: Path
    settings: dict[str, str] = field(factory=dict)
    files: tuple[str, ...] = ("docker-compose.yml",)
    clients: list[Client] = field(factory=list)

    # ------------------------------------------------------------ the project

    def compose(self, *words: str) -> str:
        """Run a compose command on this project."""
        environment = os.environ | FREE_PORTS | {"NSQ_IMAGE": self.image} | self.settings
        files = [word for file in self.files for word in ("-f", str(ROOT / file))]
        command = [*compose_command(), "-p", self.project, *files]
        return run(*command, *words, env=environment, cwd=ROOT)

    def up(self, *words: str) -> None:
        """Start what is not running and wait until all of it is healthy."""
        self.compose("up", "--detach", *words)
        wait_until(self.is_healthy, "all containers are healthy", timeout=PATIENCE)

    def down(self) -> None:
        """Remove everything of this project."""
        for client in self.clients:
            client.stop()
        self.compose("down", "--volumes", "--timeout", "20", "--remove-orphans")

    def containers(self, service: str = "") -> list[str]:
        """The ids of the project's containers, also of the ones that have ended."""
        label = "label=com.docker.compose."
        filters = [f"{label}project={self.project}"]
        filters += [f"{label}service={service}"] if service else []
        words = [word for each in filters for word in ("--filter", each)]
        return run("docker", "ps", "--all", "--quiet", "--no-trunc", *words).split()

    def is_healthy(self) -> bool:
        """Whether every container runs and says that it is well, or was to end and did."""
        return all(map(self._is_well, self.containers()))

    def _is_well(self, container: str) -> bool:
        found = self.inspect(container)
        if found["HostConfig"]["RestartPolicy"]["Name"] in ("", "no"):
            return found["State"]["Status"] == "exited" and found["State"]["ExitCode"] == 0
        return self.health(container) == "healthy"

    def health(self, container: str) -> str:
        """``healthy``, ``unhealthy``, ``starting``; ``exited`` and the like if it does not run."""
        state = self.inspect(container)["State"]
        return str(state["Health"]["Status"] if state["Running"] else state["Status"])

    def inspect(self, container: str) -> Any:
        """All that the engine knows of a container."""
        return json.loads(run("docker", "inspect", container))[0]

    # ------------------------------------------------------------ addresses

    @property
    def network(self) -> str:
        """The name of the project's network."""
        return f"{self.project}_nsq"

    def address(self, container: str) -> str:
        """The container's own address, which a Linux host reaches as well."""
        networks = self.inspect(container)["NetworkSettings"]["Networks"]
        return str(networks[self.network]["IPAddress"])

    def published(self, container: str, port: int) -> str:
        """Where on the host a port of the container is published."""
        return run("docker", "port", container, f"{port}/tcp").splitlines()[0]

    def lookupds(self) -> list[str]:
        """The published HTTP addresses of the nsqlookupds."""
        names = ("nsqlookupd-1", "nsqlookupd-2")
        return [self.published(self.containers(name)[0], 4161) for name in names]

    def nsqd_tcp(self) -> list[str]:
        """The TCP addresses of all nsqd."""
        return [f"{self.address(container)}:4150" for container in self.containers("nsqd")]

    # ------------------------------------------------------------ requests

    def ask(
        self,
        method: str,
        address: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Any]:
        """Status and body of a request, which may take ten seconds; JSON where it is JSON."""
        connection = http.client.HTTPConnection(address, timeout=10)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            content = answer.read().decode()
        finally:
            connection.close()
        try:
            return answer.status, json.loads(content)
        except ValueError:
            return answer.status, content

    def ask_nsqd(self, container: str, method: str, path: str, body: bytes = b"") -> Any:
        """Status and body of a request to an nsqd's published port."""
        return self.ask(method, self.published(container, 4151), path, body)

    def registered(self, lookupd: str, topic: str = "") -> set[str]:
        """The addresses of the nsqd that a nsqlookupd knows, or of those with ``topic``."""
        path = f"/lookup?topic={topic}" if topic else "/nodes"
        status, answer = self.ask("GET", lookupd, path)
        producers = answer["producers"] if status == 200 else []
        return {f"{each['broadcast_address']}:{each['tcp_port']}" for each in producers}

    # ------------------------------------------------------------ clients

    def on_host(self, *words: str) -> Client:
        """A client on this host."""
        return self._client([sys.executable, str(PEER), *words], "")

    def in_container(self, *words: str) -> Client:
        """A client in a container on the cluster's network."""
        name = f"{self.project}-client-{len(self.clients)}"
        words = ("python3", "-", *words)
        docker = ["docker", "run", "--rm", "--interactive", "--name", name]
        return self._client([*docker, "--network", self.network, self.image, *words], name)

    def _client(self, words: Sequence[str], container: str) -> Client:
        output = self.folder / f"client-{len(self.clients)}"
        with PEER.open("rb") as source, output.open("wb") as sink:
            errors = output.with_suffix(".err").open("wb")
            process = subprocess.Popen(words, stdin=source, stdout=sink, stderr=errors)
            errors.close()
        self.clients.append(Client(process, output, container))
        return self.clients[-1]
