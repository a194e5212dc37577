"""Behind nginx and HAProxy, as Debian has them: what a client can make nsqadmin believe.

The client comes from 127.0.0.2, the proxy is 127.0.0.1 and trusted.
"""

import contextlib
import shutil
import socket
import subprocess

import pytest
import trio

from nsqadmin.service import serve
from nsqcore.app.service import Process
from nsqcore.reactor.listeners import open_listener

pytestmark = pytest.mark.slow

NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log stderr;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://127.0.0.1:{upstream};
      proxy_http_version 1.1;
      proxy_set_header Host $host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      {user}
    }}
  }}
}}
"""
HAPROXY = """
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend in
  bind 127.0.0.1:{port}
  option forwardfor
  {user}
  default_backend out
backend out
  server admin 127.0.0.1:{upstream}
"""
USERS = {
    "nginx": "proxy_set_header X-Forwarded-User bob;",
    "haproxy": "http-request set-header X-Forwarded-User bob",
}
COMMANDS = {
    "nginx": ("/usr/sbin/nginx", NGINX, ["-c"]),
    "haproxy": ("/usr/sbin/haproxy", HAPROXY, ["-f"]),
}


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


@contextlib.asynccontextmanager
async def proxied(kind, site, folder, *, user=None):
    """The port of a proxy before an nsqadmin; ``user`` is how the proxy names who is logged in."""
    program, template, flags = COMMANDS[kind]
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")
    options = {"trusted_proxies": ("127.0.0.1",), "admin_users": ("ann",)}
    async with site(allow_config_from_cidr="127.0.0.1/32", **options) as s:
        listener, process = open_listener("127.0.0.1:0"), Process()
        port = free_port()
        config = folder / "config"
        config.write_text(
            template.format(
                folder=folder, port=port, upstream=listener.port,
                user=USERS[kind] if user is None else user,
            )
        )  # fmt: skip
        proxy = start(program, *flags, str(config))
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(serve, s.app, listener, process)
                await until_open(port, proxy)
                yield port
                process.shutdown.set()
        finally:
            proxy.kill()
            proxy.wait()


def start(*command):
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


async def until_open(port, proxy):
    with trio.fail_after(60):
        while proxy.poll() is None:
            with contextlib.suppress(OSError):
                await (await trio.open_tcp_stream("127.0.0.1", port)).aclose()
                return
            await trio.sleep(0.02)
    pytest.fail("the proxy has ended")


@contextlib.asynccontextmanager
async def connected(port):
    raw = trio.socket.socket()
    await raw.bind(("127.0.0.2", 0))
    await raw.connect(("127.0.0.1", port))
    async with trio.SocketStream(raw) as stream:
        yield stream


async def ask(port, path, *headers, method="GET", body=b"", until=None):
    """Everything that is answered to one request on a connection of its own."""
    close = () if until else ("Connection: close",)
    head = "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *close, *headers, "", ""])
    answer = b""
    async with connected(port) as stream:
        await stream.send_all(head.encode() + body)
        with trio.fail_after(60):
            while more := await stream.receive_some():
                answer += more
                if until and until in answer:
                    break
    return answer


def status(answer):
    return int(answer.split(b" ", 2)[1])


both = pytest.mark.parametrize("kind", ["nginx", "haproxy"])


@both
async def test_a_client_cannot_claim_an_address(kind, site, tmp_path):
    async with proxied(kind, site, tmp_path) as port:
        for claims in ((), ("127.0.0.1",), ("127.0.0.1", "127.0.0.1"), ("127.0.0.1,127.0.0.1",)):
            headers = [f"X-Forwarded-For: {claim}" for claim in claims]
            assert status(await ask(port, "/config/log_level", *headers)) == 403


@both
async def test_a_client_cannot_claim_a_name(kind, site, tmp_path):
    delete = {"method": "DELETE"}
    async with proxied(kind, site, tmp_path) as port:
        for count in range(3):
            claims = ["X-Forwarded-User: ann"] * count
            assert status(await ask(port, "/api/topics/orders", *claims, **delete)) == 403


async def test_a_name_added_beside_the_client_s_own_is_refused(site, tmp_path):
    added = "http-request add-header X-Forwarded-User bob"
    async with proxied("haproxy", site, tmp_path, user=added) as port:
        assert status(await ask(port, "/api/topics")) == 200
        assert status(await ask(port, "/api/topics", "X-Forwarded-User: ann")) == 400


@both
async def test_no_tunnel_is_opened_through_the_proxy(kind, site, tmp_path):
    upgrade = (
        "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c",
        "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA",
    )  # fmt: skip
    async with proxied(kind, site, tmp_path) as port:
        answer = await ask(port, "/ping", *upgrade, until=b"OK")
        assert status(answer) == 200
        assert b"101" not in answer.partition(b"\r\n")[0]


@both
async def test_one_request_gets_one_answer(kind, site, tmp_path):
    smuggled = b"0\r\n\r\nGET /ping HTTP/1.1\r\nHost: x\r\n\r\n"
    async with proxied(kind, site, tmp_path) as port:
        for headers in (
            ["Transfer-Encoding: chunked", "Content-Length: 4"],
            ["Content-Length: 4", "Transfer-Encoding: chunked"],
            ["Content-Length: 4", "Transfer-Encoding: xchunked"],
        ):
            answer = await ask(port, "/api/topics", *headers, method="POST", body=smuggled)
            assert answer.count(b"HTTP/1.1 ") == 1, answer


@both
async def test_live_events_come_through_the_proxy(kind, site, tmp_path):
    async with proxied(kind, site, tmp_path) as port:
        answer = await ask(port, "/events?view=/", until=b"event: page")
        assert status(answer) == 200
