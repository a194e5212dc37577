"""Typed bodies: values in, values out."""

import sys

import pytest
from tests.fakes.fake_nsqd import fake_nsqd, until
from tests.nsqclient.backends import on_every_loop

import nsqclient
from nsqclient import codecs, open_producer


@on_every_loop
async def test_values_are_encoded_and_bytes_go_as_they_are():
    async with fake_nsqd() as (cluster, nsqd):
        json = codecs.json
        async with open_producer(
            nsqd.address, encode=json.encode, options=cluster.options()
        ) as producer:
            await producer.publish("orders", {"n": 1, "name": "Caf\u00e9"})
            await producer.publish_many("orders", [[1, 2], None, b"raw"])
            await producer.publish("orders", "later", defer=1)
            with pytest.raises(TypeError, match="not JSON serializable"):
                await producer.publish("orders", object())
        assert nsqd.published == ['{"n":1,"name":"Caf\u00e9"}'.encode(), b"[1,2]", b"null", b"raw"]
        assert nsqd.deferred == [(b'"later"', 1000)]


@on_every_loop
async def test_an_encoder_that_gives_no_bytes_is_told_so():
    async with fake_nsqd() as (cluster, nsqd):
        async with open_producer(nsqd.address, encode=str, options=cluster.options()) as producer:
            with pytest.raises(TypeError, match="a body is bytes, not str"):
                await producer.publish("orders", 1)


@on_every_loop
async def test_messages_have_values_and_what_cannot_be_decoded_is_a_failure():
    async with fake_nsqd(keep_requeued=True) as (cluster, nsqd):
        nsqd.put(b'{"n":1}', b"no json")
        async with cluster.consumer(nsqd, decode=codecs.json.decode) as consumer:
            async with (await anext(consumer)).process() as message:
                assert message.value == {"n": 1}
            with pytest.raises(ValueError, match="Expecting value"):
                async with (await anext(consumer)).process() as message:
                    assert message.value
            await until(lambda: nsqd.requeued)
        assert (nsqd.finished, nsqd.requeued) == ([b'{"n":1}'], [(b"no json", 1000)])


@on_every_loop
async def test_value_without_a_decoder_is_the_body():
    async with fake_nsqd() as (cluster, nsqd):
        nsqd.put(b"x")
        async with cluster.consumer(nsqd) as consumer, (await anext(consumer)).process() as message:
            assert message.value == message.body == b"x"


@pytest.mark.parametrize("name", ["msgspec_json", "msgspec_msgpack", "pydantic"])
def test_a_missing_package_is_named(name, monkeypatch):
    module = name.partition("_")[0]
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"codecs.{name} needs {module}: pip install {module}"):
        getattr(nsqclient.codecs, name)(int)
