"""Sending a connection's outbox, whatever the kernel takes."""

import socket

import pytest

from nsqcore.net.effects import Peer
from nsqcore.reactor.connections.connection import MAX_PIECES, open_connection


@pytest.fixture
def pair(new_session):
    """A connection, and the socket at its other end."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    yield open_connection(ours, Peer("@"), new_session()), theirs
    ours.close()
    theirs.close()


def test_few_bytes_go_out_in_one_piece(pair):
    connection, peer = pair
    connection.outbox.add(b"one ")
    connection.outbox.add(b"two")
    assert connection.send_pending()
    assert peer.recv(100) == b"one two"
    assert connection.outbox.size == 0


@pytest.mark.parametrize("size", [1, 100, 100_000])
def test_any_number_of_pieces_arrives_in_order_however_slow_the_peer(pair, size):
    connection, peer = pair
    pieces = [bytes([i % 256]) * size for i in range(MAX_PIECES * 3 if size < 1000 else 50)]
    for piece in pieces:
        connection.outbox.add(piece)
    received = b""
    done = False
    while not done or len(received) < size * len(pieces):
        done = connection.send_pending()
        received += peer.recv(1_000_000)
    assert received == b"".join(pieces)
    assert connection.outbox.size == 0


def test_a_peer_that_is_gone_is_an_error(pair):
    connection, peer = pair
    peer.close()
    connection.outbox.add(b"x")
    with pytest.raises(OSError, match="Broken pipe"):
        connection.send_pending()
