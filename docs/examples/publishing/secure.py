"""Options of a connection: TLS, compression, a secret."""

import ssl

import nsqclient

context = ssl.create_default_context()  # load your own authority with cafile=…
options = nsqclient.ConnectionOptions(
    tls=context,
    snappy=True,  # or deflate=6
    auth_secret="sesame",
    msg_timeout=120.0,
    client_id="billing-7",
)


async def publish() -> None:
    async with nsqclient.open_producer("nsqd.example.com:4150", options=options) as producer:
        await producer.publish("orders", b"one")


print(options.identify()["tls_v1"], options.identify()["snappy"])
