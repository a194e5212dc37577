"""Opens what is on disk: queues, durable topics, metadata, policies."""

import logging
import os
from functools import partial

from nsqcore.app.config.options import OptionsError
from nsqd.config.settings import NsqdSettings, StoreSettings
from nsqd.engine.broker import Broker
from nsqd.lifecycle.data_path import network_file_system
from nsqd.lifecycle.durability import Durability
from nsqd.lifecycle.wall_clock import wall_offset
from nsqd.metadata.metadata_file import BadMetadata, load, reconcile, restore
from nsqd.metadata.policy_store import SYNCED, BadPolicyFile, PolicyStore
from nsqd.policies.policies import Policies
from nsqd.storage.diskqueue.store import DiskStore
from nsqd.storage.durable.format.entries import UnknownFormat
from nsqd.storage.durable.journal.committer import Committer
from nsqd.storage.durable.port import DurableStorage
from nsqd.storage.durable.store import DurableStore, NewerFormat
from nsqd.storage.durable.topics.state import BadState
from nsqd.storage.files.durable_disk import OsDisk
from nsqd.storage.queues.tiered import TieredStorage

logger = logging.getLogger(__name__)

_FORCE = "--allow-network-file-system"


def open_durability(settings: NsqdSettings) -> Durability:
    """What keeps durable topics."""
    disk = OsDisk()
    directory = os.path.join(settings.store.path, "durable")
    durable = DurableStore(disk, directory, settings.durability.journal_file_size)
    return Durability(durable, settings.durability.interval, Committer(disk))


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
    _warn_of_newer_files(settings.store.path, [topic.state.name for topic in found])
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


def _warn_of_newer_files(path: str, durable: list[str]) -> None:
    """Tell of files of plain queues that were written after all that is durable: by another nsqd,
    which does not know it. Raises OSError."""
    if not durable:
        return
    with os.scandir(os.path.join(path, "durable")) as entries:
        last = max((entry.stat().st_mtime_ns for entry in entries if entry.is_file()), default=0)
    newer: dict[str, None] = {}
    names = set(durable)
    with os.scandir(path) as entries:
        for entry in entries:
            queue, kind, _ = entry.name.partition(".diskqueue.")
            topic = queue.partition(":")[0]
            if kind and topic in names and entry.stat().st_mtime_ns > last:
                newer[topic] = None
    for topic in newer:
        logger.warning(
            "DURABLE: files of topic %s outside of durable/ were written since this nsqd ended, "
            "as another nsqd does that does not know durable/: what is in them is delivered first",
            topic,
        )


def open_policies(settings: NsqdSettings) -> PolicyStore:
    """The policies that are on disk. Raises OptionsError."""
    policies = PolicyStore(Policies(), settings.store.path, settings.policy_file)
    if kind := _distrusted(settings):
        policies.unsynced = f"the data path is on {kind}, and {_FORCE} is not set"
        if settings.durability.default in SYNCED:
            raise OptionsError(f"--durability={settings.durability.default}: {policies.unsynced}")
    try:
        policies.load()
    except BadPolicyFile as error:
        raise OptionsError(str(error)) from error
    return policies


def _distrusted(settings: NsqdSettings) -> str:
    """The kind of the data path's file system, if its syncs are not to be believed."""
    if settings.durability.on_network_file_system:
        return ""
    try:
        return network_file_system(settings.store.path)
    except OSError as error:
        logger.warning("DURABLE: no telling what file system the data path is on - %s", error)
        return ""


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
