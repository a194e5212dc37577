"""Logins under way."""

import pytest

from nsqadmin.auth.oidc.flows import MAX_FLOWS, PER_NETWORK, Flows
from nsqadmin.auth.oidc.provider import OidcError


def test_a_network_that_begins_very_many_logins_ends_its_own_alone():
    flows = Flows()
    ours, _ = flows.open("us", "u", "", now=0, network="10.0.0.1")
    theirs = [
        flows.open("them", "u", "", now=0, network="10.0.0.2")[0] for _ in range(MAX_FLOWS + 1)
    ]
    assert flows.take(ours, "us", now=1)
    kept = theirs[-PER_NETWORK:]
    assert flows.take(kept[0], "them", now=1)
    with pytest.raises(OidcError):
        flows.take(theirs[-PER_NETWORK - 1], "them", now=1)


def test_there_are_never_more_than_so_many():
    flows = Flows()
    states = [
        flows.open("b", "u", "", now=0, network=str(number))[0] for number in range(MAX_FLOWS + 1)
    ]
    with pytest.raises(OidcError):
        flows.take(states[0], "b", now=1)
    assert flows.take(states[1], "b", now=1)
