"""One V2 client, from the bytes it sends to the engine and back.

`session` turns chunks into commands, `dispatch` acts on them, `client` is what
they know of the client, `permissions` what it may do: all without I/O.
`connection` and `auth` perform what they ask for.
"""
