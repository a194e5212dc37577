"""Logging in by an OpenID Connect provider that signs real tokens."""

import base64
import hmac
import json
import ssl
import time
from contextlib import asynccontextmanager
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
import trio
import trustme
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from tests.fakes.fake_http import fake_server
from tests.nsqadmin.auth.oidc.provider import CLIENT, KEYS, SECRET, FakeProvider
from tests.nsqadmin.conftest import BROWSER

from nsqadmin.auth.oidc.flows import LIFETIME
from nsqadmin.auth.oidc.provider import KEYS_AGE
from nsqadmin.config.options import NsqadminOptions, check
from nsqadmin.core.admin import make_admin
from nsqadmin.core.audit import audit_file
from nsqcore.app.config.options import OptionsError
from nsqcore.units import SECOND

NOW = time.time_ns() // SECOND


@pytest.fixture
def oidc(site, tmp_path):
    """Makes sites with a provider."""
    secret = tmp_path / "secret"
    secret.write_text(SECRET + "\n")

    @asynccontextmanager
    async def make(provider: FakeProvider, *roles: str, tls=None, **options):
        async with fake_server(provider.answer, tls=tls) as provider.server:
            async with site(
                oidc_issuer=provider.url, oidc_client_id=CLIENT,
                oidc_client_secret_file=str(secret),
                oidc_roles=roles or ("ops=operator", "all=viewer"), **options,
            ) as s:  # fmt: skip
                yield s

    return make


async def begin(client, following: str = "/nodes") -> str:
    response = await client.get(f"/login/oidc?next={following}", headers=BROWSER)
    assert response.status_code == 303, await response.get_data(as_text=True)
    return str(response.headers["Location"])


async def come_back(client, query: dict[str, str]):
    return await client.get(f"/login/oidc/callback?{urlencode(query)}", headers=BROWSER)


async def log_in(s, provider: FakeProvider):
    return await come_back(s.client, provider.approve(await begin(s.client)))


async def test_a_login_leads_back_with_the_roles_of_the_groups(oidc, tmp_path):
    provider, path = FakeProvider(), tmp_path / "audit"
    with audit_file(str(path), time.time_ns):
        async with oidc(provider) as s:
            assert "/login/oidc?next=" in await s.page("/login?next=/nodes")
            assert 'name="password"' not in await s.page("/login")
            response = await log_in(s, provider)
            assert (response.status_code, response.headers["Location"]) == (303, "/nodes")
            assert "Log out" in await s.page("/nodes")
            asked = await s.client.get("/action/delete?topic=orders", headers=BROWSER)
            assert asked.status_code == 403
            await s.page("/action/pause?topic=orders")
            await s.client.post("/logout", headers=BROWSER)
            assert (await s.client.get("/nodes", headers=BROWSER)).status_code == 303
    assert '"event":"login","outcome":"done","user":"ann","role":"operator"' in path.read_text()


@pytest.mark.parametrize(
    ("known", "status"), [(b"nsqadmin:s3cret/+", 303), (b"nsqadmin:another", 403)]
)
async def test_a_secret_is_also_sent_as_it_is_where_encoded_it_is_not_known(oidc, known, status):
    provider = FakeProvider(knows=(known,))
    async with oidc(provider) as s:
        assert (await log_in(s, provider)).status_code == status


async def test_groups_may_give_roles_on_some_topics_and_the_highest_counts(oidc):
    provider = FakeProvider(claims={"groups": ["cn=ops,dc=x", "all"]})
    async with oidc(provider, "cn=ops,dc=x=admin:ord*", "all=viewer") as s:
        assert (await log_in(s, provider)).status_code == 303
        await s.page("/action/delete?topic=orders")
        for path, status in (("/action/delete?topic=mail", 403), ("/messages?topic=mail", 200)):
            assert (await s.client.get(path, headers=BROWSER)).status_code == status


async def test_a_crowd_that_begins_logins_asks_a_failing_provider_once(oidc):
    provider = FakeProvider()
    async with oidc(provider) as s:
        provider.server.answer = lambda asked: (503, None)
        asked: list[int] = []

        async def begin_login() -> None:
            response = await s.client.get("/login/oidc?next=/nodes", headers=BROWSER)
            asked.append(response.status_code)

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(begin_login)
        assert len(asked) == 20
        assert set(asked) == {403}
        assert len(provider.server.asked) == 1


@pytest.mark.parametrize("groups", [[], ["others"], "opsies", {"ops": 1}, None])
async def test_who_is_in_no_group_with_a_role_is_not_let_in(oidc, groups):
    provider = FakeProvider(claims={"groups": groups})
    async with oidc(provider) as s:
        response = await log_in(s, provider)
        assert response.status_code == 403
        assert "no group" in await response.get_data(as_text=True)
        assert s.admin.sessions.all(now=s.admin.now()) == []


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"aud": "another"},
        {"aud": [CLIENT, "another"]},
        {"azp": "another"},
        {"iss": "https://elsewhere.example"},
        {"exp": NOW - 120},
        {"exp": None},
        {"exp": "never"},
        {"iat": NOW + 3600},
        {"nbf": NOW + 3600},
        {"sub": None},
    ],
)
async def test_a_token_that_is_not_of_this_login_is_refused(oidc, claims):
    provider = FakeProvider(claims=claims)
    async with oidc(provider) as s:
        response = await log_in(s, provider)
        assert response.status_code == 403
        assert "Not logged in" in await response.get_data(as_text=True)
        assert s.admin.sessions.all(now=s.admin.now()) == []


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (RSAKey.generate_key(2048, {"kid": "key-0"}), "RS256"),  # of the same name
        (KEYS[1], "RS256"),  # that is not published
        (OctKey.import_key(SECRET.encode().ljust(32, b"x"), {"kid": "key-0"}), "HS256"),
    ],
)
async def test_a_token_signed_by_anything_else_is_refused(oidc, key, algorithm):
    provider = FakeProvider(key=key, algorithm=algorithm)
    async with oidc(provider) as s:
        assert (await log_in(s, provider)).status_code == 403


def packed(part: object) -> str:
    """A part of a JWT."""
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def unsigned(token: str, **head: object) -> str:
    """A token with the same claims, another head and no signature."""
    return f"{packed({'typ': 'JWT', **head})}.{token.split('.')[1]}."


def promoted(token: str) -> str:
    """A token in which somebody has given themselves a group."""
    head, claims, signature = token.split(".")
    told = json.loads(base64.urlsafe_b64decode(claims + "=="))
    return f"{head}.{packed(told | {'groups': ['ops', 'admins']})}.{signature}"


def keyed_by_what_is_published(token: str) -> str:
    """A token signed with the public key, as if that was a secret."""
    signed = f"{packed({'alg': 'HS256', 'kid': 'key-0'})}.{token.split('.')[1]}"
    mac = hmac.digest(KEYS[0].as_pem(private=False), signed.encode(), "sha256")
    return f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def brings_its_key(token: str) -> str:
    """A token with the key that it is signed with."""
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    head = {"alg": "RS256", "jwk": KEYS[1].as_dict(private=False)}
    return jwt.encode(head, claims, KEYS[1], algorithms=["RS256"])


@pytest.mark.parametrize(
    "forge",
    [
        lambda token: unsigned(token, alg="none"),
        lambda token: unsigned(token, alg="None", kid="key-0"),
        lambda token: unsigned(token, alg="RS256", kid="key-0"),
        lambda token: unsigned(token),
        lambda token: token.rpartition(".")[0],
        lambda token: token[:-8],
        lambda token: token.replace(".", ".."),
        promoted,
        keyed_by_what_is_published,
        brings_its_key,
        lambda token: "",
        lambda token: None,
        lambda token: {"token": token},
        lambda token: "\ud800.x.y",
        lambda token: "x" * 1_000_000,
    ],
)
async def test_a_forged_token_is_refused(oidc, forge):
    provider = FakeProvider(forge=forge)
    async with oidc(provider) as s:
        response = await log_in(s, provider)
        assert response.status_code == 403
        assert "Not logged in" in await response.get_data(as_text=True)
        assert s.admin.sessions.all(now=s.admin.now()) == []


async def test_rotated_keys_are_asked_for_and_a_flood_of_wrong_ones_is_not(oidc):
    provider = FakeProvider()
    async with oidc(provider) as s:
        assert (await log_in(s, provider)).status_code == 303
        provider.key, provider.published = KEYS[1], [KEYS[1]]
        for _ in range(3):
            assert (await log_in(s, provider)).status_code == 403
        assert len([one for one in provider.server.asked if one.path == "/keys"]) == 1
        oidc_provider = s.admin.oidc.provider
        oidc_provider.now = lambda: s.admin.now() + KEYS_AGE * SECOND
        assert (await log_in(s, provider)).status_code == 303
        provider.key = KEYS[0]  # the old one is worth nothing any more
        assert (await log_in(s, provider)).status_code == 403


async def test_a_state_is_for_one_use_one_browser_and_some_minutes(oidc, monkeypatch):
    provider = FakeProvider()
    async with oidc(provider) as s:
        query = provider.approve(await begin(s.client))
        stranger = s.app.test_client()
        assert (await come_back(stranger, query)).status_code == 403
        # that was the one use of it
        assert (await come_back(s.client, query)).status_code == 403
        query = provider.approve(await begin(s.client))
        assert (await come_back(s.client, query)).status_code == 303
        assert (await come_back(s.client, query)).status_code == 403
        query = provider.approve(await begin(s.client))
        late = s.admin.now() + LIFETIME
        monkeypatch.setattr(type(s.admin), "now", staticmethod(lambda: late))
        assert (await come_back(s.client, query)).status_code == 403
        for query in ({}, {"state": "forged", "code": "x"}):
            assert (await come_back(s.client, query)).status_code == 403


async def test_a_document_or_an_answer_of_another_issuer_is_refused(oidc):
    provider = FakeProvider(issuer="https://elsewhere.example")
    async with oidc(provider) as s:
        response = await s.client.get("/login/oidc", headers=BROWSER)
        assert response.status_code == 403
    provider = FakeProvider()
    async with oidc(provider) as s:
        query = provider.approve(await begin(s.client)) | {"iss": "https://elsewhere.example"}
        assert (await come_back(s.client, query)).status_code == 403
        query = provider.approve(await begin(s.client)) | {"error": "access_denied"}
        page = await (await come_back(s.client, query)).get_data(as_text=True)
        assert "access_denied" in page


@pytest.mark.parametrize("roles", [(), ("ops=chief",), ("ops",), ("ops=viewer:a b",)])
def test_settings_that_let_nobody_in_are_refused(roles):
    options = NsqadminOptions(
        nsqd_http_addresses=("127.0.0.1:1",), oidc_issuer="http://127.0.0.1:1", oidc_client_id="x",
        oidc_roles=roles,
    )  # fmt: skip

    def start() -> None:
        check(options)
        make_admin(options)

    with pytest.raises(OptionsError, match="--oidc-role"):
        start()


async def test_it_never_leads_to_another_site(oidc):
    provider = FakeProvider()
    async with oidc(provider) as s:
        back = provider.approve(await begin(s.client, "//evil.example/"))
        assert (await come_back(s.client, back)).headers["Location"] == "/"


async def log_out(s) -> str:
    """Where it leads."""
    response = await s.client.post("/logout", headers=BROWSER)
    assert response.status_code == 303
    assert (await s.client.get("/nodes", headers=BROWSER)).status_code == 303
    return str(response.headers["Location"])


END = "https://id.example/out?ui=1"


async def test_logging_out_logs_out_at_the_provider_and_leads_back(oidc):
    provider = FakeProvider(more={"end_session_endpoint": END})
    async with oidc(provider) as s:
        await log_in(s, provider)
        page = await s.client.get("/nodes", headers=BROWSER)
        # browsers count the redirect of a form as one more place that it is sent to
        policy = page.headers["Content-Security-Policy"]
        assert "form-action 'self' https://id.example;" in policy
        where, _, asked = (await log_out(s)).partition("&")
        assert where == END
        told = dict(parse_qsl(asked))
        assert jwt.decode(told.pop("id_token_hint"), KEYS[0]).claims["sub"] == "u-17"
        assert told == {
            "client_id": CLIENT,
            "post_logout_redirect_uri": "http://localhost/login",
        }
        assert await log_out(s) == "/login"  # nobody is logged in


async def test_it_leads_back_to_where_the_provider_knows_us(oidc):
    provider = FakeProvider(more={"end_session_endpoint": END})
    known = "https://nsq.example/x"
    async with oidc(provider, oidc_redirect_url=f"{known}/login/oidc/callback") as s:
        await log_in(s, provider)
        told = dict(parse_qsl(urlsplit(await log_out(s)).query))
        assert told["post_logout_redirect_uri"] == f"{known}/login"


async def test_a_token_too_long_for_a_url_is_left_out(oidc):
    groups = ["ops", *(f"a-group-of-many-{n}" for n in range(500))]
    provider = FakeProvider(claims={"groups": groups}, more={"end_session_endpoint": END})
    async with oidc(provider) as s:
        await log_in(s, provider)
        told = dict(parse_qsl(urlsplit(await log_out(s)).query))
        assert told.keys() == {"ui", "client_id", "post_logout_redirect_uri"}


@pytest.mark.parametrize(
    ("more", "options"),
    [
        ({}, {}),
        ({"end_session_endpoint": END}, {"oidc_logout": False}),
        ({"end_session_endpoint": "javascript:alert(1)"}, {}),
        ({"end_session_endpoint": 7}, {}),
        ({"end_session_endpoint": "https://x;script-src *"}, {"oidc_logout": False}),
    ],
)
async def test_elsewise_logging_out_ends_the_session_here(oidc, more, options):
    provider = FakeProvider(more=more)
    async with oidc(provider, **options) as s:
        await log_in(s, provider)
        page = await s.client.get("/nodes", headers=BROWSER)
        assert "form-action 'self';" in page.headers["Content-Security-Policy"]
        assert await log_out(s) == "/login"


async def test_a_provider_of_a_private_authority_is_trusted_when_its_file_is_given(oidc, tmp_path):
    authority, file = trustme.CA(), tmp_path / "ca.pem"
    file.write_bytes(trustme.CA().cert_pem.bytes())
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    provider = FakeProvider()
    async with oidc(provider, tls=tls, oidc_tls_root_ca_file=str(file)) as s:
        refused = await s.client.get("/login/oidc", headers=BROWSER)
        assert refused.status_code == 403
        assert "certificate" in await refused.get_data(as_text=True)
        file.write_bytes(b"nothing that could be read")
        s.admin.read_certificates()
        assert (await s.client.get("/login/oidc", headers=BROWSER)).status_code == 403
        file.write_bytes(authority.cert_pem.bytes())
        s.admin.read_certificates()
        assert (await log_in(s, provider)).status_code == 303


def test_an_authority_that_cannot_be_read_is_an_error_at_the_start(tmp_path):
    (tmp_path / "ca.pem").write_text("nothing")
    options = NsqadminOptions(
        nsqd_http_addresses=("127.0.0.1:1",), oidc_issuer="https://127.0.0.1:1",
        oidc_client_id="x", oidc_roles=("ops=viewer",),
        oidc_tls_root_ca_file=str(tmp_path / "ca.pem"),
    )  # fmt: skip
    with pytest.raises(OptionsError, match="--oidc-tls-root-ca-file"):
        make_admin(options)
