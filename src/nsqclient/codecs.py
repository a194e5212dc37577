"""Ready-made ``encode=`` and ``decode=`` for typed bodies.

```python
orders = nsqclient.codecs.msgspec_json(Order)

async with (
    nsqclient.open_producer(NSQD, encode=orders.encode) as producer,
    nsqclient.open_consumer("orders", "billing", nsqd=NSQD, decode=orders.decode) as consumer,
):
    await producer.publish("orders", Order(1))
    async for message in consumer:
        async with message.process():
            handle(message.value)
```

Any function from a value to bytes, and any from bytes to a value, will do as well. msgspec
and pydantic are loaded by the functions that need them, and are installed by who uses them.
"""

import json as standard_json
from collections.abc import Callable
from importlib import import_module
from typing import Any

from nsqcore.classes import frozen


@frozen
class Codec:
    """How values become bodies, and bodies values; either raises if it cannot."""

    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


def _encode_json(value: Any) -> bytes:
    text = standard_json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode()


json = Codec(_encode_json, standard_json.loads)
"""JSON by the standard library: dictionaries, lists, texts, numbers, True, False, None."""


def msgspec_json(kind: Any = Any) -> Codec:
    """JSON by msgspec: a `msgspec.Struct`, a dataclass, or any type that it knows.

    Decoding checks the types, and raises `msgspec.ValidationError`.

    Raises:
        ImportError: msgspec is not installed.
    """
    module = _needed("msgspec", "msgspec_json").json
    return Codec(module.Encoder().encode, module.Decoder(kind).decode)


def msgspec_msgpack(kind: Any = Any) -> Codec:
    """MessagePack by msgspec; see `msgspec_json`."""
    module = _needed("msgspec", "msgspec_msgpack").msgpack
    return Codec(module.Encoder().encode, module.Decoder(kind).decode)


def pydantic(kind: Any) -> Codec:
    """JSON by pydantic (2 or later): a model, a dataclass, or any type that it knows.

    Decoding validates, and raises `pydantic.ValidationError`.

    Raises:
        ImportError: pydantic is not installed, or is version 1.
    """
    module = _needed("pydantic", "pydantic")
    if not hasattr(module, "TypeAdapter"):
        raise ImportError("nsqclient.codecs.pydantic needs pydantic 2: pip install 'pydantic>=2'")
    adapter = module.TypeAdapter(kind)
    return Codec(adapter.dump_json, adapter.validate_json)


def _needed(module: str, user: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        text = f"nsqclient.codecs.{user} needs {module}: pip install {module}"
        raise ImportError(text, name=module) from error
