"""nsqd's HTTP API: one module a noun, one function an endpoint, all added up in `api`.

Requests come from `nsqcore.http`, complete; the functions act on the broker and return a response.
They are synchronous, but for those that take long, which work in slices (`slices`) or in a thread.
"""
