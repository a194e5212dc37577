"""Glewlwyd, a single sign-on server that Debian has, with a client nsqadmin and people.

It is set up by its own API, as an administrator does; `Glewlwyd.browser` is somebody's browser.
"""

import gzip
import json
import shutil
import socket
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import trio
from joserfc.jwk import RSAKey
from tests.nsqadmin.auth.oidc.provider import CLIENT, SECRET

_SCHEMA = Path("/usr/share/doc/glewlwyd/database/init.sqlite3.sql.gz")
_LIBRARIES = Path("/usr/lib/glewlwyd")
_CONFIG = """
port={port}
bind_address="127.0.0.1"
external_url="http://127.0.0.1:{port}"
login_url="login.html"
api_prefix="api"
log_mode="console"
log_level="INFO"
cookie_secure=0
session_key="GLEWLWYD2_SESSION_ID"
admin_scope="g_admin"
profile_scope="g_profile"
user_module_path="{libraries}/user"
client_module_path="{libraries}/client"
user_auth_scheme_module_path="{libraries}/scheme"
plugin_module_path="{libraries}/plugin"
secure_connection_key_file=""
secure_connection_pem_file=""
use_secure_connection=false
hash_algorithm="SHA512"
database={{type="sqlite3"; path="{database}";}};
"""
_SEVERAL = {"multiple": True, "read": True, "write": True}
_CLAIM = {"type": "string", "mandatory": True, "on-demand": True, "scope": []}
_OIDC = {
    "default-kid": "key", "jwt-type": "rsa", "jwt-key-size": "256", "subject-type": "public",
    "access-token-duration": 3600, "refresh-token-duration": 3600, "code-duration": 600,
    "refresh-token-rolling": False, "allow-non-oidc": False, "auth-type-code-enabled": True,
    "auth-type-token-enabled": False, "auth-type-id-token-enabled": True,
    "auth-type-none-enabled": False, "auth-type-password-enabled": False,
    "auth-type-client-enabled": False, "auth-type-refresh-enabled": True, "pkce-allowed": True,
    "pkce-method-plain-allowed": False, "session-management-allowed": True,
    "session-cookie-name": "GLEWLWYD2_OIDC_SID", "session-cookie-expiration": 3600,
    "claims": [
        _CLAIM | {"name": "groups", "user-property": "groups"},
        _CLAIM | {"name": "preferred_username", "user-property": "username"},
    ],
}  # fmt: skip


@attrs.define(eq=False)
class Glewlwyd:
    """A server that runs."""

    url: str
    admin: httpx.AsyncClient

    @property
    def issuer(self) -> str:
        """What its tokens are issued by."""
        return f"{self.url}/api/oidc"

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """The answer of its API to an administrator."""
        answer = await self.admin.request(method, f"/api{path}", json=body)
        assert answer.status_code == 200, (method, path, answer.status_code, answer.text)
        return answer.json() if answer.text else None

    async def set_up(self, back: str) -> None:
        """Make the provider, and nsqadmin a client of it whose pages are below ``back``."""
        await self.call("POST", "/auth/", {"username": "admin", "password": "password"})
        for kind, name in (("user", "groups"), ("client", "post_logout_redirect_uris")):
            module = await self.call("GET", f"/mod/{kind}/database")
            module["parameters"]["data-format"][name] = _SEVERAL
            await self.call("PUT", f"/mod/{kind}/database", module)
            await self.call("PUT", f"/mod/{kind}/database/reset")
        key = RSAKey.generate_key(2048, {"kid": "key", "alg": "RS256"})
        keys = json.dumps({"keys": [key.as_dict(private=True)]})
        oidc = _OIDC | {"iss": self.issuer, "jwks-private": keys}
        plugin = {"module": "oidc", "name": "oidc", "display_name": "oidc", "parameters": oidc}
        await self.call("POST", "/mod/plugin/", plugin)
        scope = {"name": "profile", "display_name": "profile", "password_required": True}
        await self.call("POST", "/scope/", scope | {"password_max_age": 0, "scheme": {}})
        client = {
            "client_id": CLIENT, "name": CLIENT, "enabled": True, "confidential": True,
            "client_secret": SECRET, "password": SECRET, "scope": [],
            "redirect_uri": [f"{back}/login/oidc/callback"],
            "post_logout_redirect_uris": [f"{back}/login"],
            "authorization_type": ["code"], "token_endpoint_auth_method": ["client_secret_basic"],
        }  # fmt: skip
        await self.call("POST", "/client/?source=database", client)

    async def add(self, name: str, *groups: str) -> None:
        """A user, whose password is the name twice."""
        user = {"username": name, "password": name * 2, "enabled": True, "groups": groups}
        scopes = ["openid", "profile", "g_profile"]
        await self.call("POST", "/user/?source=database", user | {"scope": scopes})

    @asynccontextmanager
    async def browser(self, name: str) -> AsyncIterator[httpx.AsyncClient]:
        """The browser of somebody who logs in there and lets nsqadmin know."""
        async with httpx.AsyncClient(base_url=self.url, trust_env=False) as browser:
            login = {"username": name, "password": name * 2}
            assert (await browser.post("/api/auth/", json=login)).status_code == 200
            granted = await browser.put(
                f"/api/auth/grant/{CLIENT}", json={"scope": "openid profile"}
            )
            assert granted.status_code == 200
            yield browser


@asynccontextmanager
async def glewlwyd(folder: Path) -> AsyncIterator[Glewlwyd]:
    """A server with its database in ``folder``; skips the test where there is none."""
    if not shutil.which("glewlwyd"):
        pytest.skip("glewlwyd is not installed")
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    with _process(folder, port) as process:
        with trio.fail_after(60):
            await _until_it_listens(port, process)
        url = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=url, trust_env=False) as admin:
            yield Glewlwyd(url, admin)


@contextmanager
def _process(folder: Path, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    database = folder / "database"
    with closing(sqlite3.connect(database)) as made, gzip.open(_SCHEMA, "rt") as schema:
        made.executescript(schema.read())
    config = folder / "config"
    config.write_text(_CONFIG.format(port=port, libraries=_LIBRARIES, database=database))
    command = ["glewlwyd", f"--config-file={config}"]
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log) as process:
        try:
            yield process
        finally:
            process.terminate()


async def _until_it_listens(port: int, process: "subprocess.Popen[bytes]") -> None:
    while True:
        assert process.poll() is None, "glewlwyd has ended"
        try:
            stream = await trio.open_tcp_stream("127.0.0.1", port)
        except OSError:
            await trio.sleep(0.02)
        else:
            return await stream.aclose()
