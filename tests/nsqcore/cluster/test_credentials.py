"""Tokens that are shown to daemons, and to whom they are not."""

import ssl

import pytest
import trustme
from tests.fakes.fake_http import fake_server

from nsqcore.access.presented import BadToken, TokenFile
from nsqcore.cluster.upstream import Upstream, UpstreamError


def guarded(asked):
    """A daemon that wants the token "right"."""
    if asked.headers.get("authorization") == "Bearer right":
        return 200, {"ok": True}
    return 401, {"message": "UNAUTHORIZED"}


async def test_a_token_is_shown_to_a_daemon_that_asks_for_one():
    async with fake_server(guarded) as server, Upstream(token=lambda: "right") as upstream:
        for _ in range(2):
            assert await upstream.get(server.address, "/stats") == {"ok": True}
        await upstream.post(server.address, "/topic/create", {"topic": "t"})
    assert len(server.asked) == 4  # only the first time it is asked whether it wants one


async def test_a_token_is_not_shown_to_a_daemon_that_does_not():
    async with fake_server(lambda asked: (200, {})) as server:
        async with Upstream(token=lambda: "right") as upstream:
            await upstream.get(server.address, "/stats")
    assert "authorization" not in server.asked[0].headers


@pytest.mark.parametrize(
    ("token", "advice"),
    [(None, "it wants a token"), (lambda: "wrong", "the token is not one that it knows")],
)
async def test_what_is_wrong_is_said_without_the_token(token, advice):
    async with fake_server(guarded) as server, Upstream(token=token) as upstream:
        with pytest.raises(UpstreamError, match=advice) as caught:
            await upstream.get(server.address, "/stats")
    assert "wrong" not in str(caught.value)


async def test_no_token_crosses_in_the_clear_once_tls_was_wanted():
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    answers = []
    async with fake_server(lambda asked: answers[-1]) as plain:
        async with Upstream(tls=trust, token=lambda: "right") as upstream:
            async with fake_server(guarded, context) as secure:
                port = int(secure.address.rpartition(":")[2])
                answers.append((403, {"message": "TLS_REQUIRED", "https_port": port}))
                assert await upstream.get(plain.address, "/stats") == {"ok": True}
            with pytest.raises(UpstreamError):  # HTTPS is away: somebody is in between
                await upstream.get(plain.address, "/stats")
            answers.append((401, {"message": "UNAUTHORIZED"}))
            with pytest.raises(UpstreamError, match="401"):
                await upstream.get(plain.address, "/stats")
    assert [asked.headers.get("authorization") for asked in plain.asked] == [None] * 2


async def test_an_address_may_be_one_of_https():
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    async with fake_server(guarded, context) as secure:
        async with Upstream(tls=trust, token=lambda: "right") as upstream:
            found = await upstream.get(f"https://{secure.address}", "/stats")
    assert found == {"ok": True}


class TestFile:
    def test_what_changes_in_the_file_counts(self, tmp_path):
        path = tmp_path / "token"
        path.write_text("first\nbob:read:sha256:…\n")
        token = TokenFile(str(path))
        assert token() == "first"
        path.write_text("the second\n")  # no token: the one in use is kept
        assert token() == "first"
        path.write_text("second-one\n")
        assert token() == "second-one"
        path.unlink()
        assert token() == "second-one"

    @pytest.mark.parametrize("content", ["", "\n", "two words", "x" * 9000, "ä"])
    def test_what_is_none_is_refused_and_not_shown(self, tmp_path, content):
        path = tmp_path / "token"
        path.write_text(content)
        with pytest.raises(BadToken) as caught:
            TokenFile(str(path)).load()
        assert content.strip() == "" or content not in str(caught.value)
