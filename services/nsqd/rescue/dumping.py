"""Dump: messages, or the journal's entries, as JSON lines."""

import json
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

from nsqcore.wire.headers import decode_headers, split_record
from nsqd.rescue.reading import Opened
from nsqd.storage.durable.format.batches import read_header
from nsqd.storage.durable.format.entries import Kind
from nsqd.storage.durable.format.payloads import (
    BadPayload,
    decode_batch,
    decode_changes,
    decode_fields,
    decode_move,
)


def dump_messages(opened: Opened, topic: str, body: str) -> Iterator[str]:
    """Every message that is left, a line each; those of one ``topic`` if it is not empty.

    ``body`` says how bodies are shown: ``base64``, ``text`` (what is not UTF-8 is replaced) or
    ``none``. Raises OSError.
    """
    for found in opened.found:
        if topic and found.state.name != topic:
            continue
        for message in opened.messages(found):
            record = message.record
            content, block = split_record(record)
            state = "deferred" if message.due else "queued" if message.channel else "waiting"
            line: dict[str, Any] = {
                "topic": found.state.name,
                "channel": message.channel or None,
                "state": state,
                "id": record[10:26].decode("ascii", "replace"),
                "timestamp": int.from_bytes(record[:8], "big"),
                "attempts": message.attempts,
                "due": message.due,
                "size": len(content),
            }
            if block:
                line["headers"] = decode_headers(block)
            if body == "base64":
                line["body"] = b64encode(content).decode()
            elif body == "text":
                line["body"] = content.decode("utf-8", "replace")
            yield json.dumps(line)


def dump_entries(opened: Opened) -> Iterator[str]:
    """Every entry of the journal, file by file, whether it is still needed or not."""
    for found in opened.store.files.find():
        for entry in found.scan.entries:
            line = {"file": found.path, "number": entry.number, "kind": entry.kind.name}
            yield json.dumps({**line, "whole": entry.whole, **_fields(entry.kind, entry.payload)})


def _fields(kind: Kind, payload: bytes) -> dict[str, Any]:
    try:
        if kind == Kind.MOVE:
            parts = decode_move(payload)
            return {"parts": [{"kind": each.name, **_fields(each, part)} for each, part in parts]}
        if kind == Kind.BATCH:
            place, data = decode_batch(payload)
            header = read_header(data, 0)
            if header is None:
                return {"topic": place.topic, "error": "its batch has no header"}
            return {
                "topic": place.topic,
                "segment": place.segment,
                "position": place.position,
                "first": header.first,
                "count": header.count,
                "due": header.due,
                **({"only_channel": header.channel} if header.channel else {}),
            }
        if kind in (Kind.ACK, Kind.BACK, Kind.SENT):
            topic, channel, changes = decode_changes(kind, payload)
            shown = [
                {"id": f"{id:016x}"}
                if kind == Kind.ACK
                else {"id": f"{id:016x}", "attempts": attempts, "due": due}
                for id, attempts, due in changes
            ]
            return {"topic": topic, "channel": channel, "messages": shown}
        if kind in (Kind.TOPIC, Kind.CHANNEL):
            return {"says": decode_fields(payload)}
    except BadPayload as error:
        return {"error": str(error)}
    return {"size": len(payload)}
