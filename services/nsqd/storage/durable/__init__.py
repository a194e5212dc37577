"""Durable topics: what was acknowledged is kept.

One journal per nsqd, a log per topic, a cursor and the ids in hand per channel. The modules, from
the inside out: `crc`, `entries` (the journal's format), `batches` (the log's format), `journal`
(its files and groups), `committer` (the thread that syncs), `segments` and `log` (a topic's
messages), `state` (what a channel has left), `recovery` (opening).

No trio, no clock here: wall-clock times are arguments, in ns. Files are only touched through
`nsqd.storage.files.filesystem`.
"""
