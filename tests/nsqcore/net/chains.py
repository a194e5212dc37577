"""Certificates that no library would issue, made by the program ``openssl``."""

import subprocess
from functools import cache
from pathlib import Path


@cache
def _rsa_key(owner: str, bits: str) -> bytes:
    """The key of ``owner``, made once: that takes far longer than all that is done with it."""
    return subprocess.run(["openssl", "genrsa", bits], check=True, capture_output=True).stdout


def make_chain(path: Path, kind: str) -> tuple[str, str]:
    """Files of an authority, and of a client's chain and key, in the directory ``path``.

    ``kind`` is "good", or names what is wrong: "expired", "md5", "sha1", "issued by md5", "rsa-"
    and its bits, "ec-" and a curve hardly anybody has. "ec" has another kind of key.
    """

    def run(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=path, check=True, capture_output=True)

    def issue(name: str, issuer: str, digest: str, days: int = 2) -> None:
        run("req", "-new", "-key", f"{name}.key", "-subj", f"/CN={name}", "-out", f"{name}.csr")
        run(
            *f"x509 -req -in {name}.csr -CA {issuer}.pem -CAkey {issuer}.key -set_serial 7"
            f" -days {days} -{digest} -extfile {name}.ext -out {name}.pem".split()
        )

    (path / "client.ext").write_text("basicConstraints=CA:FALSE")
    (path / "middle.ext").write_text("basicConstraints=CA:TRUE")
    # the authority of the good ones is none of the others: names are the same, keys are not
    root_key = "good root" if kind == "good" else "other root"
    for name, key in (("root", root_key), ("middle", "middle")):
        (path / f"{name}.key").write_bytes(_rsa_key(key, "2048"))
    root = "-x509 -key root.key -subj /CN=root -days 2 -out root.pem"
    run("req", *root.split())
    if kind == "ec" or kind.startswith("ec-"):
        curve = kind.removeprefix("ec").removeprefix("-") or "P-256"
        options = f"-algorithm EC -pkeyopt ec_paramgen_curve:{curve} -out client.key"
        run("genpkey", *options.split())
    else:
        bits = kind.removeprefix("rsa-") if kind.startswith("rsa-") else "2048"
        (path / "client.key").write_bytes(_rsa_key("client", bits))
    digest = kind if kind in ("md5", "sha1") else "sha256"
    chain = ["client.pem", "client.key"]
    if kind == "issued by md5":
        issue("middle", "root", "md5")
        chain.insert(1, "middle.pem")
    issue(
        "client",
        "middle" if kind == "issued by md5" else "root",
        digest,
        days=-1 if kind == "expired" else 2,
    )
    whole = path / "chain.pem"
    whole.write_text("".join((path / name).read_text() for name in chain))
    return str(path / "root.pem"), str(whole)
