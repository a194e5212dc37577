"""What /stats tells of a client, in JSON and in text: the one place of each of its fields."""

from json.encoder import encode_basestring_ascii as quoted

from nsqcore.app.config.values import duration_text
from nsqcore.classes import define
from nsqd.client.client import Client
from nsqd.http.reports.counts import FLAGS

_PLAIN_TLS = (
    ',"tls":false,"tls_cipher_suite":"","tls_version":"","tls_negotiated_protocol":""'
    ',"tls_negotiated_protocol_is_mutual":false}'
)


@define(eq=False, repr=False)
class ClientStats:
    """A client, counted. ``pub_counts`` are the messages it published, by topic."""

    client: Client
    ready_count: int
    in_flight_count: int
    message_count: int
    finish_count: int
    requeue_count: int
    connect_ts: int  # Unix time in seconds
    pub_counts: dict[str, int]

    @classmethod
    def of(cls, client: Client, topic: str) -> "ClientStats":
        """A snapshot of ``client``; of what it published only to ``topic``, if that is given."""
        pub_counts = client.pub_counts
        if topic:
            pub_counts = {topic: pub_counts[topic]} if topic in pub_counts else {}
        consumer = client.consumer
        if consumer is None:
            counts = (0, 0, 0, 0, 0)
        else:
            counts = (
                consumer.ready,
                len(consumer.in_flight),
                consumer.message_count,
                consumer.finish_count,
                consumer.requeue_count,
            )
        return cls(client, *counts, client.connected_at // 1_000_000_000, pub_counts)

    def to_json(self) -> str:
        """An entry of ``clients`` or ``producers``."""
        client, identity = self.client, self.client.identity
        return (
            f'{{"client_id":{quoted(identity.client_id)}'
            f',"hostname":{quoted(identity.hostname)}'
            ',"version":"V2"'
            f',"remote_address":{quoted(client.peer.address)}'
            f',"state":{client.state:d}'
            f',"ready_count":{self.ready_count}'
            f',"in_flight_count":{self.in_flight_count}'
            f',"message_count":{self.message_count}'
            f',"finish_count":{self.finish_count}'
            f',"requeue_count":{self.requeue_count}'
            f',"connect_ts":{self.connect_ts}'
            f',"sample_rate":{identity.sample_rate}'
            f',"deflate":{FLAGS[identity.deflate]}'
            f',"snappy":{FLAGS[identity.snappy]}'
            f',"user_agent":{quoted(identity.user_agent)}'
            f"{self._auth_json()}"
            f',"topology_zone":{quoted(identity.topology_zone)}'
            f',"topology_region":{quoted(identity.topology_region)}'
            f"{self._pub_counts_json()}"
            f"{self._tls_json()}"
        )

    def _auth_json(self) -> str:
        permissions = self.client.permissions
        if permissions is None or not self.client.authed:
            return ""
        authed = ',"authed":true' if permissions.authorizations else ""
        identity, url = permissions.identity, permissions.identity_url
        return (
            authed
            + (f',"auth_identity":{quoted(identity)}' if identity else "")
            + (f',"auth_identity_url":{quoted(url)}' if url else "")
        )

    def _pub_counts_json(self) -> str:
        if not self.pub_counts:
            return ""
        counts = [
            f'{{"topic":{quoted(topic)},"count":{count}}}'
            for topic, count in self.pub_counts.items()
        ]
        return f',"pub_counts":[{",".join(counts)}]'

    def _tls_json(self) -> str:
        tls = self.client.tls
        if tls is None:
            return _PLAIN_TLS
        return (
            ',"tls":true'
            f',"tls_cipher_suite":{quoted(tls.cipher_suite)}'
            f',"tls_version":{quoted(tls.version)}'
            f',"tls_negotiated_protocol":{quoted(tls.negotiated_protocol)}'
            f',"tls_negotiated_protocol_is_mutual":{FLAGS[tls.negotiated_protocol_is_mutual]}}}'
        )

    def to_text(self, wall: int) -> str:
        """The client's line of the text form; ``wall`` is the wall clock in ns."""
        client, identity = self.client, self.client.identity
        _, colon, port = client.peer.address.rpartition(":")
        name = f"{identity.hostname}:{port if colon else ''} {identity.user_agent}"
        connected = duration_text(wall // 1_000_000_000 - self.connect_ts)
        if self.pub_counts:
            topics = ",".join(f"{topic}={count}" for topic, count in self.pub_counts.items())
            total = sum(self.pub_counts.values())
            return f"[V2 {name:<21}] msgs: {total:<8} topics: {topics} connected: {connected}"
        return (
            f"[V2 {name:<21}] state: {client.state:d} inflt: {self.in_flight_count:<4}"
            f" rdy: {self.ready_count:<4} fin: {self.finish_count:<8}"
            f" re-q: {self.requeue_count:<8} msgs: {self.message_count:<8}"
            f" connected: {connected}"
        )
