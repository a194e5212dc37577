"""A test message is published after a question."""

import pytest
from tests.nsqadmin.conftest import FORM, token_in


@pytest.mark.slow
async def test_publishing_asks_first(site):
    async with site() as s:
        node = s.nsqds[0].address
        page = await s.page("/messages?topic=orders&channel=billing")
        fields = {"topic": "orders", "node": node, "body": "a\r\nb", "token": token_in(page)}
        response = await s.client.post("/messages/publish", form=fields, headers=FORM)
        assert "Publish a test message?" in await response.get_data(as_text=True)
        assert not [one for one in s.nsqds[0].server.asked if one.path == "/pub"]
        fields |= {"sure": "1"}
        response = await s.client.post("/messages/publish", form=fields, headers=FORM)
        published = [one for one in s.nsqds[0].server.asked if one.path == "/pub"]
        assert [one.body for one in published] == [b"a\nb"]


async def test_an_nsqd_without_the_topic_is_refused_on_the_page(site):
    async with site() as s:
        page = await s.page("/messages?topic=orders&channel=billing")
        fields = {"topic": "orders", "node": "10.0.0.1:4151", "body": "x", "sure": "1"}
        fields["token"] = token_in(page)
        response = await s.client.post("/messages/publish", form=fields, headers=FORM)
        assert response.status_code == 400
        assert "INVALID_NODE" in await response.get_data(as_text=True)
