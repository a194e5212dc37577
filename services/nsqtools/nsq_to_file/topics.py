"""The topics that are logged: named, or found at the nsqlookupds by a pattern."""

import logging
import os
from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

import trio

from nsqcore.app.config.credentials import open_token
from nsqcore.classes import define, field
from nsqcore.names import is_valid_name
from nsqcore.patterns import Pattern
from nsqtools.nsq_to_file import file_names
from nsqtools.nsq_to_file.file_log import FileLog
from nsqtools.nsq_to_file.options import ToFileOptions
from nsqtools.nsq_to_file.output import Output, OutputSettings
from nsqtools.shared.client_options import ClientSettings
from nsqtools.shared.progress import Progress

logger = logging.getLogger(__name__)


def make_output(options: ToFileOptions, topic: str) -> Output:
    """What writes the files of ``topic``; raises ValueError if they can have no name."""
    work_dir = options.work_dir or options.output_dir
    if os.path.realpath(work_dir) == os.path.realpath(options.output_dir):
        work_dir = options.output_dir
    rotates = options.rotate_size > 0 or options.rotate_interval > 0
    name = partial(
        file_names.template,
        options.filename_format,
        topic,
        host_identifier=options.host_identifier,
        gzip=options.gzip,
        with_rev=options.gzip or rotates or work_dir != options.output_dir,
    )
    settings = OutputSettings(
        template=name(),
        leftover_template=name(pid="<PID>"),
        datetime_format=options.datetime_format,
        output_dir=options.output_dir,
        work_dir=work_dir,
        gzip_level=options.gzip_level if options.gzip else 0,
        rotate_size=options.rotate_size,
        rotate_interval=options.rotate_interval,
        skip_empty_files=options.skip_empty_files,
    )
    file_names.check(settings.template, settings.datetime_format)
    return Output(settings, topic)


@define(eq=False, repr=False)
class TopicLogs:
    """The logs of all topics; they run in ``nursery``."""

    options: ToFileOptions
    settings: dict[str, Any] = field(repr=False)
    nursery: trio.Nursery
    progress: Progress
    logs: dict[str, FileLog] = field(factory=dict)
    _refused: set[str] = field(factory=set)
    _missing: set[str] = field(factory=set)  # from the last list of topics
    _stopped: bool = False

    def add(self, topics: Sequence[str]) -> None:
        """Begin to log those of ``topics`` that are new and match the pattern."""
        for topic in () if self._stopped else topics:
            if topic in self.logs or topic in self._refused:
                continue
            if not self._wanted(topic):
                self._refused.add(topic)
                continue
            output = make_output(self.options, topic)
            interval = self.options.sync_interval
            log = FileLog(topic, output, self.settings, interval, self.progress)
            self.logs[topic] = log
            self.nursery.start_soon(self._run, topic, log)

    def keep(self, topics: Collection[str]) -> None:
        """Let go of topics that are not among ``topics``, all there are, for the second time.

        Once is not enough: an nsqlookupd that was restarted knows a topic again only when its nsqds
        have registered.
        """
        self._refused.intersection_update(topics)
        missing = self.logs.keys() - set(topics)
        for topic in missing & self._missing:
            logger.info("topic(%s): is gone", topic)
            self.logs[topic].stop()
        self._missing = missing - self._missing

    def finish_files(self) -> None:
        """Finish the present files of all topics."""
        for log in self.logs.values():
            log.finish_file()

    def stop(self) -> None:
        """Stop all of them, and begin no more."""
        self._stopped = True
        for log in self.logs.values():
            log.stop()

    async def _run(self, topic: str, log: FileLog) -> None:
        await log.run()
        del self.logs[topic]

    def _wanted(self, topic: str) -> bool:
        pattern = self.options.topic_pattern
        if not Pattern(pattern).matches(topic):
            logger.warning("topic(%s): skipped, does not match pattern %s", topic, pattern)
            return False
        try:
            make_output(self.options, topic)
        except ValueError as error:
            logger.error("topic(%s): skipped: %s", topic, error)
            return False
        return is_valid_name(topic)

    async def find(self) -> None:
        """Look for topics at the nsqlookupds, again and again."""
        # Loading an HTTP client takes a moment, and only patterns need it here.
        from nsqcore.cluster.lookupd import lookupd_topics
        from nsqcore.cluster.upstream import AllFailed, Upstream

        options = self.options
        addresses = [_host_port(address) for address in options.lookupd_http_addresses]
        async with Upstream(
            connect_timeout=options.http_client_connect_timeout,
            request_timeout=options.http_client_request_timeout,
            tls=ClientSettings.of(options.consumer_opts).lookupd_tls(),
            token=open_token(options.http_client_token_file, "http-client-token-file"),
        ) as upstream:
            while True:
                try:
                    answer = await lookupd_topics(upstream, addresses)
                except AllFailed as error:
                    logger.error("topics: could not retrieve the list: %s", error)
                else:
                    for failure in answer.failures:
                        logger.warning("lookupd(%s): %s", failure.address, failure)
                    self.add(answer.value)
                    if not answer.failures:
                        self.keep(answer.value)
                await trio.sleep(options.topic_refresh)


def _host_port(address: str) -> str:
    return address.removeprefix("http://").rstrip("/")
