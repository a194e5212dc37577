"""Opens what is on disk: queues, durable topics, metadata, policies."""

import logging
import os
from functools import partial

from nsqcore.app.options import OptionsError
from nsqd.engine.broker import Broker
from nsqd.lifecycle.clock import wall_offset
from nsqd.lifecycle.durability import Durability
from nsqd.metadata import BadMetadata, load, reconcile, restore
from nsqd.policies.policies import Policies
from nsqd.policy_store import BadPolicyFile, PolicyStore
from nsqd.settings import NsqdSettings, StoreSettings
from nsqd.storage.durable.committer import Committer
from nsqd.storage.durable.disk import OsDisk
from nsqd.storage.durable.entries import UnknownFormat
from nsqd.storage.durable.port import DurableStorage
from nsqd.storage.durable.state import BadState
from nsqd.storage.durable.store import DurableStore, NewerFormat
from nsqd.storage.store import DiskStore
from nsqd.storage.tiered import TieredStorage

logger = logging.getLogger(__name__)


def open_durability(settings: NsqdSettings) -> Durability:
    """What keeps durable topics."""
    disk = OsDisk()
    durable = DurableStore(disk, os.path.join(settings.store.path, "durable"))
    return Durability(durable, settings.durability_interval, Committer(disk))


def open_storage(store: DiskStore, durability: Durability) -> DurableStorage:
    """The queues of durable topics, and of all others."""
    return DurableStorage(TieredStorage(store), durability.store, wall_offset, durability.start)


def open_broker(
    settings: NsqdSettings, store: DiskStore, storage: DurableStorage, policies: Policies
) -> Broker:
    """The broker with the topics and channels that are on disk. Raises OptionsError, OSError."""
    try:
        found = storage.open()
    except (OSError, NewerFormat, UnknownFormat, BadState) as error:
        raise OptionsError(f"failed to open the durable topics - {error}") from error
    for problem in storage.store.report.problems:
        logger.error("DURABLE: %s", problem)
    broker = Broker(
        settings.engine,
        storage,
        wall_offset(),
        bool(settings.lookup.addresses),
        settings.latency,
        ids_after=max([store.files.newest(), *(topic.log.newest for topic in found)]),
        policies=policies,
    )
    try:
        listed = load(settings.store.path)
        states = [topic.state for topic in found]
        restore(broker, reconcile(listed, states, storage.store.deleted_names))
    except BadMetadata as error:
        raise OptionsError(f"failed to load metadata - {error}") from error
    except OSError as error:
        path = settings.store.path
        raise OptionsError(f"failed to load the queues in {path} - {error}") from error
    return broker


def open_policies(settings: NsqdSettings) -> PolicyStore:
    """The policies that are on disk. Raises OptionsError."""
    policies = PolicyStore(Policies(), settings.store.path, settings.policy_file)
    try:
        policies.load()
    except BadPolicyFile as error:
        raise OptionsError(str(error)) from error
    return policies


def open_store(settings: StoreSettings) -> DiskStore:
    """The disk queues."""
    store = DiskStore(
        settings.path,
        max_bytes_per_file=settings.max_bytes_per_file,
        max_record_size=settings.max_record_size,
        sync_every=settings.sync_every,
        sync_timeout=settings.sync_timeout,
        warn=partial(logger.warning, "%s"),
    )
    store.files.scan()
    return store
    store.files.scan()
    return store
