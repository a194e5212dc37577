"""What the command lines of the utilities have in common."""

import re
from pathlib import Path

import pytest
from tests.nsqtools.tools import consuming

from nsqcore.app.config.options import help_text, settings
from nsqtools.nsq_stat.options import StatOptions
from nsqtools.nsq_tail.options import TailOptions, random_channel
from nsqtools.nsq_to_file.options import ToFileOptions
from nsqtools.nsq_to_http.options import ToHttpOptions
from nsqtools.nsq_to_nsq.options import RelayOptions
from nsqtools.shared.client_options import OPTIONS
from nsqtools.to_nsq.options import ToNsqOptions

DOCS = Path(__file__).parents[3] / "docs" / "utilities.md"

SOURCE = {"nsqd-tcp-address", "lookupd-http-address", "consumer-opt", "max-in-flight", "channel"}
TIMEOUTS = {"http-client-connect-timeout", "http-client-request-timeout"}

# What only ours have.
OURS = {"http-client-token-file", "http-client-tls-root-ca-file"}
# The flags of the originals, but for --version and --help.
FLAGS = {
    TailOptions: SOURCE | {"topic", "n", "print-topic"},
    ToNsqOptions: {"topic", "delimiter", "rate", "nsqd-tcp-address", "producer-opt"},
    StatOptions: TIMEOUTS
    | {"topic", "channel", "interval", "count", "nsqd-http-address", "lookupd-http-address"},
    ToFileOptions: SOURCE
    | TIMEOUTS
    | {"topic", "topic-pattern", "topic-refresh", "output-dir", "work-dir", "datetime-format"}
    | {"filename-format", "host-identifier", "gzip", "gzip-level", "skip-empty-files"}
    | {"rotate-size", "rotate-interval", "sync-interval", "log-level", "log-prefix"},
    ToHttpOptions: SOURCE
    | TIMEOUTS
    | {"topic", "n", "mode", "sample", "status-every", "content-type", "get", "post", "header"},
    RelayOptions: SOURCE
    | {"topic", "destination-topic", "destination-nsqd-tcp-address", "status-every", "mode"}
    | {"whitelist-json-field", "require-json-field", "require-json-value", "producer-opt"},
}


@pytest.mark.parametrize("options", FLAGS, ids=lambda cls: cls.__module__)
def test_every_flag_of_the_original_is_there(options):
    assert {setting.flag for setting in settings(options, "x")} - OURS == FLAGS[options]


@pytest.mark.parametrize("options", FLAGS, ids=lambda cls: cls.__module__)
def test_help_names_every_flag(options):
    text = help_text(options, "x")
    assert all(f"  --{flag}" in text for flag in FLAGS[options])
    assert "config file" not in text  # the utilities have none


def test_the_documentation_names_every_client_option():
    text = DOCS.read_text()
    assert [name for name in OPTIONS if f"`{name}" not in text] == []


def test_a_random_channel_is_ephemeral_and_has_six_digits():
    assert re.fullmatch(r"tail\d{6}#ephemeral", random_channel())


@pytest.mark.slow
@pytest.mark.parametrize(
    "program", ["nsq_tail", "nsq_to_file", "nsq_to_http", "nsq_to_nsq", "nsq_stat", "to_nsq"]
)
def test_the_version_is_a_line(tool, program):
    asked = tool(program, "--version", "--no-other-setting-is-looked-at=1")
    assert asked.wait() == 2
    asked = tool(program, "-version")
    assert asked.wait() == 0
    assert re.fullmatch(program + r" v\d+\.\d+\.\d+\S*\n", asked.out.decode())


@pytest.mark.slow
def test_settings_may_come_from_the_environment(nsqd, tool, monkeypatch):
    nsqd.create("t", "c")
    monkeypatch.setenv("TO_NSQ_TOPIC", "t")
    monkeypatch.setenv("TO_NSQ_NSQD_TCP_ADDRESS", nsqd.tcp)
    monkeypatch.setenv("TO_NSQ_PRODUCER_OPT", "client_id=me,snappy")
    assert tool("to_nsq", stdin=b"one\n").wait() == 0
    assert nsqd.channel("t", "c")["message_count"] == 1


@pytest.mark.slow
def test_an_option_without_effect_is_named(tool):
    tail = tool("nsq_tail", "--topic=t", "--nsqd-tcp-address=127.0.0.1:1",
                "--consumer-opt=max_in_flight,7")  # fmt: skip
    assert tail.wait() == 1
    assert "--consumer-opt max_in_flight has no effect here" in tail.err


@pytest.mark.slow
def test_a_connection_starts_from_the_address_that_is_asked_for(nsqd, tool):
    tool("nsq_tail", "--topic=t", f"--nsqd-tcp-address={nsqd.tcp}", "--channel=c",
         "--consumer-opt=local_addr,127.0.0.5:0")  # fmt: skip
    consuming(nsqd, "t", "c")
    (client,) = nsqd.channel("t", "c")["clients"]
    assert client["remote_address"].startswith("127.0.0.5:")


@pytest.mark.slow
def test_an_nsqd_that_is_not_there_is_told_in_few_words(tool):
    tail = tool("nsq_tail", "--topic=t", "--nsqd-tcp-address=127.0.0.1:1")
    assert tail.wait() == 1
    assert tail.err.endswith("FATAL: nsqd 127.0.0.1:1: cannot connect: connection refused\n")
