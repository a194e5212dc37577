"""Whatever a server sends, the frame parser says the same of it however it is cut."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsqcore.wire.frames import BadFrame, FrameParser, Messages

RECORD = struct.pack(">qH16s", 1, 1, b"0123456789abcdef")

headers = st.builds(
    lambda size, kind: struct.pack(">ii", size, kind), st.integers(-2, 40), st.integers(-1, 3)
)
frames = st.builds(
    lambda kind, data: struct.pack(">ii", len(data) + 4, kind) + data,
    st.integers(0, 1),
    st.binary(max_size=20),
)
messages = st.binary(max_size=20).map(
    lambda body: struct.pack(">ii", len(RECORD + body) + 4, 2) + RECORD + body
)
streams = st.lists(
    st.one_of(messages, messages, frames, frames, headers, st.binary(max_size=12)), max_size=15
).map(b"".join)


def understand(chunks):
    """What a client is told of a stream that comes in ``chunks``, up to the bad frame."""
    parser, flat = FrameParser(max_frame_size=1000), []
    for chunk in chunks:
        for frame in parser.feed(chunk):
            flat += frame.records if isinstance(frame, Messages) else [frame]
            if isinstance(frame, BadFrame):
                return flat
    return flat


@pytest.mark.slow
@given(stream=streams, data=st.data())
def test_any_bytes_mean_the_same_however_they_are_cut(stream, data):
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=8).map(sorted))
    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert understand(chunks) == understand([stream])
    assert understand([stream[at : at + 1] for at in range(len(stream))]) == understand([stream])


@pytest.mark.slow
@given(stream=streams)
def test_nothing_comes_after_a_bad_frame(stream):
    found = FrameParser(max_frame_size=1000).feed(stream)
    assert not any(isinstance(frame, BadFrame) for frame in found[:-1])
