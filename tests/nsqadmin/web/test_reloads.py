"""What a browser shows whose address bar has the address of a form, without its fields."""

import re

import pytest
from tests.nsqadmin.conftest import BROWSER, FORM, token_in
from tests.nsqadmin.web.test_login import basic
from tests.nsqadmin.web.test_matrix import guarded  # noqa: F401

API = ("/api/", "/config/")
NAMES = {"verb": "delete"}


async def test_every_address_of_a_form_leads_a_person_to_a_page(guarded):  # noqa: F811
    async with guarded() as s:
        forms = {
            re.sub(r"<(\w+)>", lambda found: NAMES[found[1]], rule.rule)
            for rule in s.app.url_map.iter_rules()
            if "POST" in (rule.methods or ()) and not rule.rule.startswith(API)
        }
        assert len(forms) >= 9
        for path in sorted(forms):
            headers = {**BROWSER, **basic("admin")}
            for _hop in range(3):
                response = await s.client.get(path, headers=headers)
                if response.status_code != 303:
                    break
                path = response.headers["Location"]
            assert response.status_code == 200, path
            assert 'role="alert"' not in await response.get_data(as_text=True), path


@pytest.mark.parametrize("base", ["/", "/admin"])
async def test_who_reloads_after_publishing_comes_to_the_messages(site, base):
    async with site(base_path=base) as s:
        start = base.rstrip("/")
        page = await s.page(f"{start}/action/pause?topic=orders&channel=billing")
        form = {"token": token_in(page), "topic": "orders", "channel": "billing", "body": "x"}
        asked = await s.client.post(f"{start}/messages/publish", form=form, headers=FORM)
        address = re.search(r'id="confirm" method="post" action="([^"]+)"',
                            await asked.get_data(as_text=True))[1]  # fmt: skip
        again = await s.client.get(address.replace("&amp;", "&"), headers=BROWSER)
        assert again.headers["Location"] == f"{start}/messages?topic=orders&channel=billing"


async def test_a_script_is_told_of_the_method_as_before(site):
    async with site() as s:
        response = await s.client.get("/messages/publish")
        assert (response.status_code, response.headers["Allow"]) == (405, "OPTIONS, POST")
