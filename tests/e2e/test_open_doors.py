"""`nsqctl doctor` knocks at every door of real daemons, as a stranger."""

import json

import pytest
from tests.e2e.certificates import TOKEN, Files, port
from tests.e2e.daemons import BIN, wait_until
from tests.e2e.original import admin
from tests.nsqctl.program import nsqctl, nsqctl_json

from nsqadmin.auth.passwords import hash_password
from nsqcore.access.lines import entry
from nsqcore.access.tokens import hash_token

pytestmark = pytest.mark.slow

WORDS = {
    "http": "HTTP asks nobody",
    "pages": "pages of other sites",
    "metrics": "/metrics",
    "tcp": "no AUTH",
    "clear": "as they are",
    "weak": "TLS 1.0",
    "registration": "registers as an nsqd",
    "admin": "log in",
}


def open_doors(*options: str) -> dict[str, set[str]]:
    """Who has which door open."""
    found = [each for each in nsqctl_json("doctor", *options) if each["level"] == "open"]
    doors = {}
    for kind, words in WORDS.items():
        for each in found:
            if words in each["problem"]:
                doors[kind] = set(each["subject"].split(", "))
    assert len(doors) == len(found)
    return doors


def ready(lookupd, headers=None) -> None:
    wait_until(lambda: lookupd.get("/nodes", headers)["producers"], "it is registered")


def test_with_no_settings_all_are_open(daemon, tmp_path):
    lookupd = daemon("nsqlookupd")
    nsqd = daemon("nsqd", f"--lookupd-tcp-address={lookupd.tcp}")
    ready(lookupd)
    both = {f"nsqd {nsqd.http}", f"nsqlookupd {lookupd.http}"}
    option = f"--lookupd-http-address={lookupd.http}"
    with admin(BIN / "nsqadmin", tmp_path, option) as address:
        assert open_doors(option, f"--nsqadmin-http-address={address}") == {
            "http": both,
            "pages": both,
            "tcp": {f"nsqd {nsqd.tcp}"},
            "registration": {f"nsqlookupd {lookupd.tcp}"},
            "admin": {f"nsqadmin {address}"},
        }


@pytest.fixture
def credentials(files: Files) -> list[str]:
    """The settings of an nsqd that asks everybody who they are."""
    (files.folder / "auth").write_text(entry("all", ("admin",), hash_token(TOKEN), None))
    (files.folder / "acl").write_text(json.dumps({"clients": []}))
    return [f"--auth-file={files.folder}/auth", f"--auth-acl-file={files.folder}/acl"]


def test_secrets_in_the_clear_and_open_metrics_are_named(daemon, files, credentials, tmp_path):
    lookupd = daemon("nsqlookupd", credentials[0])
    nsqd = daemon("nsqd", *credentials, "--open-metrics", f"--lookupd-tcp-address={lookupd.tcp}")
    ready(lookupd, {"Authorization": f"Bearer {TOKEN}"})
    option, token = f"--lookupd-http-address={lookupd.http}", f"--token-file={tmp_path}/token"
    (files.folder / "people").write_text(f"ann:admin:{hash_password(TOKEN)}")
    flags = [f"--nsqd-http-address={nsqd.http}", f"--auth-file={files.folder}/people"]
    with admin(BIN / "nsqadmin", tmp_path, *flags) as address:
        assert open_doors(option, token, f"--nsqadmin-http-address={address}") == {
            "metrics": {f"nsqd {nsqd.http}"},
            "clear": {
                f"nsqd {nsqd.http}",
                f"nsqlookupd {lookupd.http}",
                f"nsqd {nsqd.tcp}",
                f"nsqadmin {address}",
            },
            "registration": {f"nsqlookupd {lookupd.tcp}"},
        }


@pytest.mark.parametrize("verifies", [False, True])
def test_what_is_closed_is_not_named(daemon, files, credentials, verifies):
    tls = [*files.flags("tls-", "server"), "--https-address=127.0.0.1:0"]
    policy = ["--tls-client-auth-policy=require-verify"] if verifies else []
    own = [*tls, *policy, "--tls-tcp-address=127.0.0.1:0"]
    own += [] if verifies else ["--tls-min-version=tls1.1"]
    lookupd = daemon("nsqlookupd", credentials[0], *own, "--allowed-host=localhost")
    at = f"tls://localhost:{port(lookupd, 'TLS')}"
    nsqd = daemon(
        "nsqd", *credentials, *tls, "--tls-required=tcp-https", f"--lookupd-tcp-address={at}",
        f"--tls-min-version={'tls1.2' if verifies else 'tls1.0'}",
        *files.flags("lookupd-tls-", "client"), "--allowed-host=localhost",
    )  # fmt: skip
    ready(lookupd, {"Authorization": f"Bearer {TOKEN}"})
    show = [
        *files.flags("tls-", "client"), f"--token-file={files.folder}/token",
        f"--lookupd-http-address=https://localhost:{port(lookupd, 'HTTPS')}",
    ]  # fmt: skip
    encrypted = set() if verifies else {f"nsqlookupd {at}"}
    found = open_doors(*show)
    # plain HTTP of an nsqd is let in by that setting, old TLS by the original's default
    expected = {"clear": {f"nsqd {nsqd.http}"}}
    if not verifies:
        web = f"nsqlookupd https://localhost:{port(lookupd, 'HTTPS')}"
        expected["weak"] = {f"nsqd {nsqd.tcp}", *encrypted, web}
        expected["registration"] = encrypted
    assert found == expected


def test_an_nsqadmin_that_does_not_answer_is_an_error(daemon):
    lookupd = daemon("nsqlookupd")
    options = [f"--lookupd-http-address={lookupd.http}", "--nsqadmin-http-address=127.0.0.1:1"]
    assert "error nsqadmin 127.0.0.1:1" in nsqctl("doctor", *options, status=1)[0]
