"""Sending a line's outbox, whatever the kernel takes."""

import socket

import pytest

from nsqcore.net.effects import Peer
from nsqcore.net.line import MAX_PIECES, open_line


@pytest.fixture
def pair(new_session):
    """A line, and the socket at its other end."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    yield open_line(ours, Peer("@"), new_session()), theirs
    ours.close()
    theirs.close()


def test_few_bytes_go_out_in_one_piece(pair):
    line, peer = pair
    line.outbox.add(b"one ")
    line.outbox.add(b"two")
    assert line.send_pending()
    assert peer.recv(100) == b"one two"
    assert line.outbox.size == 0


@pytest.mark.parametrize("size", [1, 100, 100_000])
def test_any_number_of_pieces_arrives_in_order_however_slow_the_peer(pair, size):
    line, peer = pair
    pieces = [bytes([i % 256]) * size for i in range(MAX_PIECES * 3 if size < 1000 else 50)]
    for piece in pieces:
        line.outbox.add(piece)
    received = b""
    done = False
    while not done or len(received) < size * len(pieces):
        done = line.send_pending()
        received += peer.recv(1_000_000)
    assert received == b"".join(pieces)
    assert line.outbox.size == 0


def test_a_peer_that_is_gone_is_an_error(pair):
    line, peer = pair
    peer.close()
    line.outbox.add(b"x")
    with pytest.raises(OSError, match="Broken pipe"):
        line.send_pending()
