import json

import trio
from tests.fakes.fake_cluster import topic
from tests.fakes.fake_http import fake_server

from nsqadmin.core.notify import AdminAction, Notifier


def action(**changes):
    fields = {"action": "pause_topic", "topic": "t", "timestamp": 1, "remote_ip": "1.2.3.4:5"}
    return AdminAction(**fields | changes)


async def until(condition):
    with trio.fail_after(60):
        while not condition():  # noqa: ASYNC110 - what is waited for is in another task's hands
            await trio.sleep(0.01)


async def run(notifier):
    await notifier.run(connect_timeout=60, request_timeout=60)


async def test_an_action_is_posted_with_who_did_it(site, nursery):
    async with fake_server(lambda asked: (200, None)) as hook:
        async with site(notification_http_endpoint=f"http://{hook.address}/notify") as s:
            nursery.start_soon(run, s.admin.notifier)
            headers = {"X-Forwarded-User": "ann", "User-Agent": "test/1", "Host": "admin.example"}
            await s.client.post("/api/topics/orders", data='{"action":"pause"}', headers=headers)
            await until(lambda: hook.asked)
            sent = json.loads(hook.asked[0].body)
            assert hook.asked[0].path == "/notify"
            assert hook.asked[0].headers["content-type"] == "application/json"
            assert (sent["action"], sent["topic"], sent["user"]) == ("pause_topic", "orders", "ann")
            assert sent["url"] == "http://admin.example/api/topics/orders"
            assert "channel" not in sent
            nursery.cancel_scope.cancel()


async def test_an_endpoint_that_is_down_disturbs_nothing(nursery, caplog):
    notifier = Notifier("http://127.0.0.1:1/")
    nursery.start_soon(run, notifier)
    notifier.notify(action())
    await until(lambda: "failed to post" in caplog.text)
    nursery.cancel_scope.cancel()


async def test_the_password_of_an_endpoint_is_not_logged(nursery, caplog):
    notifier = Notifier("http://user:geheim@127.0.0.1:1/?token=geheim")
    for _ in range(601):
        notifier.notify(action())
    nursery.start_soon(run, notifier)
    await until(lambda: "failed to post" in caplog.text)
    nursery.cancel_scope.cancel()
    assert "dropped" in caplog.text
    assert "geheim" not in caplog.text


async def test_notifications_that_pile_up_are_dropped_and_named(caplog):
    notifier = Notifier("http://127.0.0.1:1/")
    for _ in range(601):
        notifier.notify(action())
    assert "dropped pause_topic" in caplog.text


def test_what_does_not_apply_is_left_out():
    shown = action().to_json()
    assert not {"channel", "node", "user"} & set(shown)
    assert action(node="n:1").to_json()["node"] == "n:1"


async def test_the_url_of_an_action_is_one_that_can_be_asked_again(site, nursery):
    async with fake_server(lambda asked: (200, None)) as hook:
        async with site(mode="nsqd", notification_http_endpoint=f"http://{hook.address}/") as s:
            nursery.start_soon(run, s.admin.notifier)
            s.nsqds[0].topics.append(topic("a#ephemeral"))
            path = "/api/topics/a%23ephemeral?x=%20"
            headers = {"Host": "admin.example"}
            await s.client.post(path, data='{"action":"pause"}', headers=headers)
            await until(lambda: hook.asked)
            assert json.loads(hook.asked[0].body)["url"] == f"http://admin.example{path}"
            nursery.cancel_scope.cancel()
