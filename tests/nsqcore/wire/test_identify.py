"""IDENTIFY: what is read from its body, what is agreed, and what is answered."""

import contextlib
import json

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from nsqcore.wire.errors import BadBody, IdentifyFailed
from nsqcore.wire.identify import IdentifyRequest, Identity, Limits, negotiate, parse_request, reply

BEFORE = Identity(client_id="10.0.0.1", hostname="10.0.0.1")


def agreed(limits=None, before=BEFORE, **wanted):
    request = parse_request(json.dumps(wanted).encode())
    return negotiate(request, before, limits or Limits())


# ------------------------------------------------------------------ the body


def test_an_empty_object_and_null_ask_for_nothing():
    assert parse_request(b"{}") == parse_request(b"null") == IdentifyRequest()


def test_keys_match_in_any_case_and_unknown_ones_are_ignored():
    body = b'{"Client_ID": "a", "long_id": "b", "nonsense": {"x": [1]}, "user_agent": null}'
    assert parse_request(body) == IdentifyRequest(client_id="a")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"{} trailing",
        b'{"client_id": 5}',
        b'{"snappy": "true"}',
        b'{"snappy": 1}',
        b'{"sample_rate": 1.5}',
        b'{"sample_rate": true}',
        b'{"msg_timeout": 9223372036854775808}',
        b'{"sample_rate": 2147483648}',
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        b'{"msg_timeout": NaN}',
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_what_is_no_object_of_the_right_types_is_a_bad_body(body):
    with pytest.raises(BadBody, match="IDENTIFY failed to decode JSON body"):
        parse_request(body)


def test_a_name_that_is_no_utf8_is_taken_as_far_as_it_can_be_read():
    assert parse_request(b'{"client_id": "caf\xe9"}') == IdentifyRequest(client_id="caf\ufffd")


@pytest.mark.slow
@given(st.binary(max_size=200))
def test_any_body_is_a_request_or_a_bad_body(body):
    with contextlib.suppress(BadBody):
        assert isinstance(parse_request(body), IdentifyRequest)


# ------------------------------------------------------------------ what is agreed


@pytest.mark.parametrize(
    ("field", "name", "taken", "refused", "off"),
    [
        ("heartbeat_interval", "heartbeat interval", (1000, 60_000), (999, 60_001, -2, 1), 0),
        ("output_buffer_size", "output buffer size", (64, 65_536), (63, 65_537, -2), 1),
        ("output_buffer_timeout", "output buffer timeout", (25, 30_000), (24, 30_001, -2), 0),
        ("msg_timeout", "msg timeout", (1000, 900_000), (999, 900_001, -1), None),
        ("sample_rate", "sample rate", (1, 99), (100, -1), None),
    ],
)
def test_numbers_are_taken_within_their_bounds(field, name, taken, refused, off):
    assert getattr(agreed(**{field: 0}), field) == getattr(BEFORE, field)
    for value in taken:
        assert getattr(agreed(**{field: value}), field) == value
    for value in refused:
        with pytest.raises(BadBody) as error:
            agreed(**{field: value})
        assert str(error.value) == f"IDENTIFY {name} ({value}) is invalid"
    if off is not None:
        assert getattr(agreed(**{field: -1}), field) == off


def test_without_a_buffer_there_is_no_buffer_timeout():
    assert agreed(output_buffer_size=-1).output_buffer_timeout == 0
    assert agreed(output_buffer_size=-1, output_buffer_timeout=100).output_buffer_timeout == 0


def test_of_two_bad_numbers_the_first_to_be_looked_at_is_told():
    with pytest.raises(BadBody, match="output buffer timeout"):
        agreed(output_buffer_size=1, output_buffer_timeout=1)


def test_a_second_identify_replaces_names_and_keeps_timeouts():
    first = agreed(client_id="one", user_agent="a", msg_timeout=5000, sample_rate=10)
    second = agreed(before=first, client_id="two", sample_rate=20)
    assert (second.client_id, second.user_agent, second.hostname) == ("two", "", "")
    assert (second.msg_timeout, second.sample_rate) == (5000, 20)


def test_features_are_negotiated_only_where_both_sides_want_them():
    everything = {"tls_v1": True, "deflate": True, "feature_negotiation": True}
    assert not agreed(**everything).tls  # the server has no certificate
    assert agreed(Limits(tls=True), **everything).tls
    assert agreed(**everything).deflate
    assert not agreed(Limits(deflate=False), **everything).deflate
    assert not agreed(snappy=True).snappy  # without feature_negotiation


def test_two_compressions_at_once_are_refused():
    with pytest.raises(IdentifyFailed, match="cannot enable both deflate and snappy compression"):
        agreed(deflate=True, snappy=True, feature_negotiation=True)
    limits = Limits(snappy=False)
    assert agreed(limits, deflate=True, snappy=True, feature_negotiation=True).deflate


@pytest.mark.parametrize(("asked", "got"), [(0, 4), (1, 1), (4, 4), (9, 4), (-3, 4)])
def test_the_deflate_level_has_a_default_and_a_maximum(asked, got):
    limits = Limits(max_deflate_level=4)
    wanted = {"deflate": True, "feature_negotiation": True, "deflate_level": asked}
    assert agreed(limits, **wanted).deflate_level == got


def test_the_answer_tells_what_was_agreed_and_the_limits():
    limits = Limits(topology_region="r", topology_zone="z", version="1.3.0", max_rdy_count=7)
    identity = evolve(BEFORE, msg_timeout=5000, sample_rate=3, snappy=True)
    assert json.loads(reply(identity, limits)) == {
        "max_rdy_count": 7,
        "version": "1.3.0",
        "max_msg_timeout": 900_000,
        "msg_timeout": 5000,
        "tls_v1": False,
        "deflate": False,
        "deflate_level": 0,
        "max_deflate_level": 6,
        "snappy": True,
        "sample_rate": 3,
        "auth_required": False,
        "output_buffer_size": 16_384,
        "output_buffer_timeout": 250,
        "topology_region": "r",
        "topology_zone": "z",
    }
