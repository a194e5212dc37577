"""Forged requests, hostile names, people who may not, daemons that are gone."""

import hashlib
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.browser.eyes import Eyes
from tests.browser.servers import QuietHandler, serving
from tests.browser.stage import Stage
from tests.e2e.daemons import Daemon

EVIL = '<img src=x onerror="window.hurt=1"><script>window.hurt=1</script>\'--><b>'


@pytest.fixture
def elsewhere(stage: Stage) -> Iterator[str]:
    """Another site, with a page that tries to pause a topic here by a form and by a script."""
    target = stage.admins[0].url
    page = f"""<!doctype html><title>elsewhere</title>
<form id="f" method="post" action="{target}/api/topics/orders" enctype="text/plain">
<input name='{{"action":"pause","x":"' value='"}}'></form>
<script>
fetch("{target}/api/topics/orders", {{method: "POST", mode: "no-cors", body:
'{{"action":"pause"}}'}})
  .catch(() => 0).then(() => document.getElementById("f").submit());
</script>""".encode()

    class Handler(QuietHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page)

    with serving(Handler) as address:
        yield f"http://{address}/"


def test_another_site_cannot_make_a_browser_pause_a_topic(
    eyes: Eyes, stage: Stage, elsewhere: str
) -> None:
    eyes.driver.get(elsewhere)
    eyes.until(lambda: "FORBIDDEN" in eyes.driver.page_source, "the form is refused")
    for nsqd in stage.nsqds:
        (found,) = nsqd.get("/stats?format=json&topic=orders")["topics"]
        assert found["paused"] is False
    assert "refused POST /api/topics/orders from another site" in stage.admins[0].log()
    eyes.reset()  # complaints of the other site's page are not ours


def test_hostile_names_are_text_on_every_page(eyes: Eyes, stage: Stage) -> None:
    peer = stage.crowd.join(
        stage.nsqds[0], "orders", "billing", client_id=EVIL, hostname=EVIL, user_agent=EVIL,
        topology_region=EVIL, topology_zone=EVIL,
    )  # fmt: skip
    try:
        for path in ("/topics/orders/billing", f"/nodes/{stage.nsqds[0].http}", "/topology", "/"):
            eyes.open_live(path)
            if path not in ("/topology", "/"):
                eyes.see("<script>window.hurt=1</script>")
            assert eyes.run("return window.hurt") is None
            assert eyes.css("main img[src=x]") == []
    finally:
        peer.sock.shutdown(2)


def test_who_may_not_is_not_offered_it(stage: Stage, eyes: Eyes) -> None:
    admin = stage.admin("--admin-user=ann")
    there = Eyes(eyes.driver, admin.url)
    for path in (
        "/topics/orders",
        "/topics/orders/billing",
        f"/nodes/{stage.nsqds[0].http}",
        "/lookup",
    ):
        there.open_live(path)
        assert there.css("main a[href*='/action/']") == []
        assert there.css("main form[method=post]") == []
    assert admin.request("DELETE", "/api/topics/orders")[0] == 403
    eyes.reset()


def test_people_log_in_and_out(stage: Stage, eyes: Eyes, tmp_path: Path) -> None:
    salt = b"salt"
    digest = hashlib.scrypt(b"secret", salt=salt, n=2, r=1, p=1, dklen=32)
    hashed = f"scrypt$2$1$1${b64encode(salt).decode()}${b64encode(digest).decode()}"
    users = tmp_path / "users"
    users.write_text(f"olga:operator:{hashed}\n")
    admin = stage.admin(f"--auth-file={users}")
    there = Eyes(eyes.driver, admin.url)
    there.open("/topics/orders")
    there.write("input[name=user]", "olga")
    there.write("input[name=password]", "wrong")
    there.click("form.login button[type=submit]")
    there.see("Wrong name or password.")
    there.write("input[name=user]", "olga")
    there.write("input[name=password]", "secret")
    there.click("form.login button[type=submit]")
    there.see("orders", "h1")
    there.until(lambda: there.css("#live[data-state=on]"), "the page is live")
    assert there.css("a[href='/action/pause?topic=orders']")
    assert not there.css("a[href='/action/delete?topic=orders']")
    there.click("form[action='/logout'] button")
    there.see("Log in to nsqadmin")
    eyes.reset()  # the console notes the status of the refused login


@pytest.mark.parametrize("mode", ["lookupd", "nsqd"])
def test_daemons_that_are_gone_are_named_and_the_rest_is_shown(
    stage: Stage, eyes: Eyes, mode: str
) -> None:
    gone = Daemon("nsqd", Path("/nowhere"), http_port=1)
    if mode == "lookupd":
        admin = stage.admin(f"--lookupd-http-address={gone.http}")
    else:
        admin = stage.admin(f"--nsqd-http-address={gone.http}", mode="nsqd")
    there = Eyes(eyes.driver, admin.url)
    paths = (
        "/",
        "/topics/orders",
        "/topics/orders/billing",
        "/nodes",
        "/topology",
        "/counter",
        "/lookup",
    )
    for path in paths:
        there.open_live(path)
        there.see("1 daemon does not answer.")
        there.see("127.0.0.1:1")
    there.open("/topics/orders")
    there.see("billing")
    eyes.reset()
