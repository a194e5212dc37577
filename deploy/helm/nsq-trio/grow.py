"""Makes room for the volumes of nsqd to grow, before `helm upgrade` changes what it can.

    python grow.py FOLDER SIZE STATEFULSET…

FOLDER has what a service account is given: token, namespace, ca.crt. The claims of each StatefulSet
are enlarged to SIZE. A StatefulSet whose template has another size, which Kubernetes lets nobody
change, is deleted without its pods: they run on, and belong to the one that the upgrade makes.
Nothing is deleted before every claim asks for SIZE; what cannot be done ends the upgrade.
"""

import json
import os
import re
import ssl
import sys
import time
import urllib.error
import urllib.request
from decimal import Decimal
from pathlib import Path
from typing import Any

UNITS = {"": 1} | {unit: 1000**power for power, unit in enumerate("kMGTPE", 1)}
UNITS |= {f"{unit}i": 1024**power for power, unit in enumerate("KMGTPE", 1)}
SELECTOR = "labelSelector=app.kubernetes.io%2Fname%3Dnsqd"
# How long Kubernetes may take to let go of the pods; it is a matter of a second.
PATIENCE = 120


def amount(size: str) -> Decimal:
    """The bytes of a quantity, such as 10Gi, 1.5G or 1e9."""
    found = re.fullmatch(r"([0-9.]+(?:[eE][0-9]+)?)([kKMGTPE]?i?)", size)
    if found is None or found[2] not in UNITS:
        sys.exit(f"{size!r} is no size")
    return Decimal(found[1]) * UNITS[found[2]]


def asked(template: dict[str, Any]) -> str:
    """The size that a claim, or the template of one, asks for."""
    return str(template["spec"]["resources"]["requests"]["storage"])


class Kubernetes:
    """Its API, in the namespace of the service account whose files are in ``folder``."""

    def __init__(self, folder: Path) -> None:
        host, port = (os.environ[f"KUBERNETES_SERVICE_{part}"] for part in ("HOST", "PORT"))
        self._base = f"https://{f'[{host}]' if ':' in host else host}:{port}"
        self._namespace = (folder / "namespace").read_text()
        self._token = (folder / "token").read_text()
        self._tls = ssl.create_default_context(cafile=folder / "ca.crt")

    def ask(self, method: str, group: str, kind: str, body: object = None) -> dict[str, Any] | None:
        """What it answers; None where there is no such object."""
        request = urllib.request.Request(
            f"{self._base}/{group}/namespaces/{self._namespace}/{kind}",
            None if body is None else json.dumps(body).encode(),
            {
                "Authorization": f"Bearer {self._token}",
                "Content-Type": f"application/{'merge-patch+' * (method == 'PATCH')}json",
            },
            method=method,
        )
        try:
            with urllib.request.urlopen(request, context=self._tls, timeout=30) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")
            if error.code == 404:
                return None
            sys.exit(f"{method} {kind}: {error.code} {said}")


def enlarge(api: Kubernetes, size: str, names: list[str]) -> None:
    """Ask for ``size`` in every claim of the StatefulSets ``names``."""
    claims = "persistentvolumeclaims"
    listed = api.ask("GET", "api/v1", f"{claims}?{SELECTOR}") or {"items": []}
    ours = re.compile(rf"data-(?:{'|'.join(map(re.escape, names))})-\d+")
    found = [each for each in listed["items"] if ours.fullmatch(each["metadata"]["name"])]
    for each in found:
        if amount(asked(each)) > amount(size):
            sys.exit(f"{each['metadata']['name']} has {asked(each)}: no volume shrinks to {size}")
    for each in found:
        if amount(asked(each)) < amount(size):
            name = each["metadata"]["name"]
            print(f"{name}: {asked(each)} → {size}", flush=True)
            wanted = {"spec": {"resources": {"requests": {"storage": size}}}}
            api.ask("PATCH", "api/v1", f"{claims}/{name}", wanted)


def release(api: Kubernetes, size: str, name: str) -> None:
    """Delete the StatefulSet ``name``, not its pods, where its template has another size."""
    place = "apis/apps/v1", f"statefulsets/{name}"
    found = api.ask("GET", *place)
    templates = found["spec"].get("volumeClaimTemplates", []) if found else []
    if all(amount(asked(each)) == amount(size) for each in templates):
        return
    print(f"{name}: made anew by the upgrade, its pods run on", flush=True)
    api.ask("DELETE", *place, {"propagationPolicy": "Orphan"})
    until = time.monotonic() + PATIENCE
    while api.ask("GET", *place) is not None:
        if time.monotonic() > until:
            sys.exit(f"{name} is still there after {PATIENCE} seconds")
        time.sleep(0.5)  # noqa: TID251 (there is no loop here)


def main() -> None:
    """Do it for the arguments of this program."""
    folder, size, *names = sys.argv[1:]
    api = Kubernetes(Path(folder))
    enlarge(api, size, names)
    for name in names:
        release(api, size, name)


if __name__ == "__main__":
    main()
