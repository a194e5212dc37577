"""``nsq_to_file``: messages of some topics into files, a line each.

Topics are named, or found by a pattern at the nsqlookupds, again and again. Each has a `FileLog` of
its own: a consumer and the files it writes. One that cannot write ends the program, with status 1.
"""

import logging
import os
import sys
from typing import Any

import attrs
import trio

from nsqcore.app.log import LEVELS
from nsqcore.app.options import OptionsError, option
from nsqcore.app.service import Process
from nsqcore.app.values import between
from nsqcore.wire.names import is_valid_name
from nsqcore.wire.patterns import compile_pattern
from nsqtools import cli, filenames
from nsqtools.clientopts import ClientOption
from nsqtools.filelog import FileLog
from nsqtools.output import Output, OutputSettings
from nsqtools.progress import Progress

logger = logging.getLogger(__name__)

PROGRAM = "nsq_to_file"


def _known_level(value: str) -> None:
    if value not in LEVELS:
        raise ValueError(f"is one of {', '.join(LEVELS)}")


def _lower(value: object) -> str:
    return str(value).lower()


@attrs.frozen(kw_only=True)
class ToFileOptions:
    """Settings of one ``nsq_to_file``. Durations are seconds, sizes are bytes."""

    topics: tuple[str, ...] = cli.topics_option()
    topic_pattern: str = option("", "only log topics whose names match this regular expression")
    topic_refresh: float = option(60.0, "how often to look for new topics")
    channel: str = option("nsq_to_file", "NSQ channel")
    max_in_flight: int = cli.max_in_flight_option()
    output_dir: str = option("/tmp", "directory of the finished files")
    work_dir: str = option(
        "", "directory of files in progress; by default that of the finished files"
    )
    datetime_format: str = option("%Y-%m-%d_%H", "strftime format of <DATETIME> in file names")
    filename_format: str = option(
        "<TOPIC>.<HOST><REV>.<DATETIME>.log",
        "format of file names: <TOPIC>, <HOST>, <PID>, <DATETIME> and <REV> are replaced; <REV> is "
        "a number that grows when a file is there already",
    )
    host_identifier: str = option(
        "", "text for <HOST>; <SHORT_HOST> and <HOSTNAME> in it are replaced"
    )
    gzip: bool = option(False, "compress files with gzip")
    gzip_level: int = option(6, "gzip level, 1 is fast, 9 is small", check=between(1, 9))
    skip_empty_files: bool = option(False, "begin a file only when there is a message for it")
    rotate_size: int = option(0, "begin a new file when one has grown beyond this; 0 is never")
    rotate_interval: float = option(0.0, "begin a new file this often; 0 is never")
    sync_interval: float = option(30.0, "sync files to disk at least this often")
    http_client_connect_timeout: float = option(2.0, "timeout for HTTP connect")
    http_client_request_timeout: float = option(5.0, "timeout for HTTP request")
    nsqd_tcp_addresses: tuple[str, ...] = cli.nsqd_option()
    lookupd_http_addresses: tuple[str, ...] = cli.lookupd_option()
    consumer_opts: tuple[ClientOption, ...] = cli.consumer_option()
    log_level: str = option(
        "info",
        "log verbosity: debug, info, warn, error, or fatal",
        parse=_lower,
        check=_known_level,
    )
    log_prefix: str = option("[nsq_to_file] ", "text before every log line")
    log_format: str = cli.fixed("text")


def _check(options: ToFileOptions) -> None:
    cli.require(options.channel, "--channel is required")
    for flag in ("connect", "request"):
        timeout = getattr(options, f"http_client_{flag}_timeout")
        cli.require(timeout > 0, f"--http-client-{flag}-timeout should be positive")
    cli.one_kind_of_address(options.nsqd_tcp_addresses, options.lookupd_http_addresses)
    cli.require(options.topics or options.topic_pattern, "--topic or --topic-pattern required")
    cli.require(
        options.topics or options.lookupd_http_addresses,
        "--lookupd-http-address must be specified when no --topic specified",
    )
    cli.check_topics(options.topics)
    cli.require(options.sync_interval > 0, "--sync-interval should be positive")
    cli.require(options.topic_refresh > 0, "--topic-refresh should be positive")
    try:
        compile_pattern(options.topic_pattern)
    except ValueError as error:
        raise OptionsError(f"--topic-pattern: {error}") from error


def _output(options: ToFileOptions, topic: str) -> Output:
    """What writes the files of ``topic``; raises ValueError if they can have no name."""
    work_dir = options.work_dir or options.output_dir
    if os.path.realpath(work_dir) == os.path.realpath(options.output_dir):
        work_dir = options.output_dir
    rotates = options.rotate_size > 0 or options.rotate_interval > 0
    settings = OutputSettings(
        template=filenames.template(
            options.filename_format,
            topic,
            host_identifier=options.host_identifier,
            gzip=options.gzip,
            with_rev=options.gzip or rotates or work_dir != options.output_dir,
        ),
        datetime_format=options.datetime_format,
        output_dir=options.output_dir,
        work_dir=work_dir,
        gzip_level=options.gzip_level if options.gzip else 0,
        rotate_size=options.rotate_size,
        rotate_interval=options.rotate_interval,
        skip_empty_files=options.skip_empty_files,
    )
    return Output(settings, topic)


@attrs.define(eq=False)
class TopicLogs:
    """The logs of all topics; they run in ``nursery``."""

    options: ToFileOptions
    settings: dict[str, Any] = attrs.field(repr=False)
    process: Process
    nursery: trio.Nursery
    progress: Progress
    logs: dict[str, FileLog] = attrs.field(factory=dict)
    _refused: set[str] = attrs.field(factory=set)

    def add(self, topics: list[str]) -> None:
        """Begin to log those of ``topics`` that are new and match the pattern."""
        for topic in () if self.process.shutdown.is_set() else topics:
            if topic in self.logs or topic in self._refused:
                continue
            if not self._wanted(topic):
                self._refused.add(topic)
                continue
            options = self.options
            log = FileLog(
                topic,
                _output(options, topic),
                self.settings,
                options.sync_interval,
                self.process.shutdown,
                self.progress,
            )
            self.logs[topic] = log
            self.nursery.start_soon(log.run)

    def _wanted(self, topic: str) -> bool:
        pattern = self.options.topic_pattern
        if not compile_pattern(pattern).search(topic):
            logger.warning("topic(%s): skipped, does not match pattern %s", topic, pattern)
            return False
        try:
            _output(self.options, topic)
        except ValueError as error:
            logger.error("topic(%s): skipped: %s", topic, error)
            return False
        return is_valid_name(topic)

    def finish_files(self) -> None:
        """Finish the present files of all topics."""
        for log in self.logs.values():
            log.finish_file()

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
                await trio.sleep(options.topic_refresh)


def _host_port(address: str) -> str:
    return address.removeprefix("http://").rstrip("/")


async def run(options: ToFileOptions, process: Process) -> None:
    """Write messages into files until told to stop."""
    _check(options)
    try:
        _output(options, "topic")
    except ValueError as error:
        raise OptionsError(str(error)) from error
    # A message is never given up: it is here to be kept.
    settings = cli.consumer_settings(PROGRAM, options, max_attempts=0)
    progress = Progress()
    async with trio.open_nursery() as helpers:
        helpers.start_soon(progress.show)
        async with trio.open_nursery() as nursery:
            logs = TopicLogs(options, settings, process, nursery, progress)
            process.on_reload = logs.finish_files
            logs.add(list(options.topics))
            if not options.topics:
                helpers.start_soon(logs.find)
            await process.shutdown.wait()
        helpers.cancel_scope.cancel()


def main() -> int:
    """The exit status of ``nsq_to_file``."""
    return cli.main(PROGRAM, ToFileOptions, run, arguments_allowed=False)


if __name__ == "__main__":
    sys.exit(main())
