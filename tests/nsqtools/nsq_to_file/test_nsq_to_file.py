"""nsq_to_file, as a process: what is finished is on disk, whatever happens."""

import gzip
import os
import resource
import shutil
import signal
import zlib
from pathlib import Path

import pytest
from tests.e2e.daemons import wait_until
from tests.nsqtools.tools import consuming, settled

pytestmark = pytest.mark.slow

NAME = "--filename-format=<TOPIC><REV>.log"


def content(folder: Path) -> dict[str, bytes]:
    """The files below a folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def lines(folder: Path) -> list[bytes]:
    """The lines of all files below a folder, sorted; compressed ones as far as they can be read."""
    found: list[bytes] = []
    for name, data in content(folder).items():
        plain = members(data) if name.endswith(".gz") else data
        found += plain.split(b"\n")[:-1]
    return sorted(found)


def members(data: bytes) -> bytes:
    """What the complete gzip members at the beginning of ``data`` hold."""
    plain = b""
    while data:
        inflater = zlib.decompressobj(31)
        part = inflater.decompress(data)
        if not inflater.eof:
            break
        plain += part
        data = inflater.unused_data
    return plain


def test_nothing_is_finished_before_it_is_on_disk(nsqd, tool, tmp_path):
    nsqd.create("orders", "nsq_to_file")
    log = tool("nsq_to_file", "--topic=orders", f"--output-dir={tmp_path}/out", "--gzip", NAME,
               "--sync-interval=1h", f"--nsqd-tcp-address={nsqd.tcp}")  # fmt: skip
    nsqd.post("/pub?topic=orders", b"first")
    settled(nsqd, "orders", "nsq_to_file", 1)  # beginning a file is a reason to sync
    assert lines(tmp_path / "out") == [b"first"]
    nsqd.post("/mpub?topic=orders", b"\n".join(b"%d" % number for number in range(10)))
    wait_until(
        lambda: nsqd.channel("orders", "nsq_to_file")["in_flight_count"] == 10, "all are in flight"
    )
    assert lines(tmp_path / "out") == [b"first"]
    assert log.end() == 0
    wait_until(lambda: not nsqd.channel("orders", "nsq_to_file")["clients"], "it has left")
    # those that it had not even received when it was told to stop are back in the queue
    assert len(lines(tmp_path / "out")) == 11 - nsqd.channel("orders", "nsq_to_file")["depth"]


def test_a_sync_comes_early_when_nsqd_would_send_no_more(daemon, tool, tmp_path):
    nsqd = daemon("nsqd", "--max-rdy-count=20")
    nsqd.create("orders", "nsq_to_file")
    nsqd.post("/mpub?topic=orders", b"\n".join(b"%d" % number for number in range(200)))
    log = tool("nsq_to_file", "--topic=orders", f"--output-dir={tmp_path}/out",
               "--sync-interval=1h", f"--nsqd-tcp-address={nsqd.tcp}")  # fmt: skip
    wait_until(
        lambda: (
            nsqd.channel("orders", "nsq_to_file")["clients"] != []
            and nsqd.channel("orders", "nsq_to_file")["depth"] == 0
        ),
        "all were taken",
    )
    assert log.end() == 0
    wait_until(lambda: not nsqd.channel("orders", "nsq_to_file")["clients"], "it has left")
    assert len(lines(tmp_path / "out")) == 200 - nsqd.channel("orders", "nsq_to_file")["depth"]


@pytest.mark.parametrize("flags", [[], ["--gzip"], ["--rotate-size=20000"], ["--work-dir=work"]])
def test_nothing_is_lost_when_it_is_killed_again_and_again(daemon, tool_process, tmp_path, flags):
    nsqd = daemon("nsqd", "--msg-timeout=2s")
    nsqd.create("orders", "nsq_to_file")
    wanted = {b"%d %s" % (number, b"x" * (number % 50)) for number in range(20_000)}
    everything = sorted(wanted)
    common = ["--topic=orders", f"--output-dir={tmp_path}/out", "--sync-interval=50ms", NAME,
              f"--nsqd-tcp-address={nsqd.tcp}", "--max-in-flight=100"]  # fmt: skip
    flags = [flag.replace("=work", f"={tmp_path}/work") for flag in flags]
    part = len(everything) // 4

    def written() -> int:
        return len(lines(tmp_path / "out") + lines(tmp_path / "work"))

    for number in range(4):
        nsqd.post("/mpub?topic=orders", b"\n".join(everything[number * part : (number + 1) * part]))
        before = written()
        log = tool_process("nsq_to_file", *common, *flags)
        wait_until(lambda before=before: written() > before, "it writes")
        log.process.kill()
        log.wait()
    log = tool_process("nsq_to_file", *common, *flags)
    settled(nsqd, "orders", "nsq_to_file", len(wanted))
    assert log.end() == 0
    found = lines(tmp_path / "out") + lines(tmp_path / "work")
    assert wanted <= set(found)
    if "--gzip" not in flags:  # a kill in the middle of a write may leave half a line
        assert len(set(found) - wanted) <= 4


def full_disk() -> None:
    """No file may grow beyond 5000 bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))


@pytest.mark.parametrize("flags", [[], ["--gzip"], ["--work-dir=work"]])
def test_a_full_disk_loses_nothing_and_leaves_no_litter(nsqd, tool_process, tmp_path, flags):
    nsqd.create("orders", "nsq_to_file")
    wanted = [b"%04d %s" % (number, str(number**50).encode()[:60]) for number in range(1000)]
    common = ["--topic=orders", f"--output-dir={tmp_path}/out", "--sync-interval=100ms", NAME,
              f"--nsqd-tcp-address={nsqd.tcp}", "--max-in-flight=50",
              "--consumer-opt=heartbeat_interval,1s"]  # fmt: skip
    flags = [flag.replace("=work", f"={tmp_path}/work") for flag in flags]
    nsqd.post("/mpub?topic=orders", b"\n".join(wanted))
    log = tool_process("nsq_to_file", *common, *flags, limits=full_disk)
    assert log.wait() == 1
    assert "File too large" in log.err.splitlines()[-1]
    assert "Traceback" not in log.err
    kept = lines(tmp_path / "out") + lines(tmp_path / "work")
    assert set(kept) <= set(wanted)
    written = content(tmp_path / "out") | content(tmp_path / "work")
    assert list(written) == ["orders-000000.log.gz" if "--gzip" in flags else
                             "orders.log" if not flags else "orders-000000.log"]  # fmt: skip
    for name, data in written.items():
        if name.endswith(".gz"):
            gzip.decompress(data)
        else:
            assert data.endswith(b"\n")
    wait_until(
        lambda: nsqd.channel("orders", "nsq_to_file")["in_flight_count"] == 0, "nothing is held"
    )
    again = tool_process("nsq_to_file", *common, *flags)
    settled(nsqd, "orders", "nsq_to_file", 1000)
    assert again.end() == 0
    assert set(lines(tmp_path / "out")) == set(wanted)


def test_a_hang_up_finishes_the_file(nsqd, tool, tmp_path):
    nsqd.create("orders", "nsq_to_file")
    log = tool("nsq_to_file", "--topic=orders", f"--output-dir={tmp_path}/out", NAME,
               f"--work-dir={tmp_path}/work", "--skip-empty-files", "--sync-interval=1h",
               f"--nsqd-tcp-address={nsqd.tcp}")  # fmt: skip
    for number in range(2):
        nsqd.post("/pub?topic=orders", b"%d" % number)
        path = tmp_path / "work" / f"orders-{number:06d}.log"
        wait_until(lambda path=path: path.exists() and path.stat().st_size, "it is written")
        log.signal(signal.SIGHUP)
        wait_until(lambda number=number: len(content(tmp_path / "out")) == number + 1, "it moved")
    assert content(tmp_path / "out") == {"orders-000000.log": b"0\n", "orders-000001.log": b"1\n"}
    settled(nsqd, "orders", "nsq_to_file", 2)
    assert log.end() == 0


def test_a_file_that_was_moved_away_is_made_anew_after_a_hang_up(nsqd, tool, tmp_path):
    nsqd.create("orders", "nsq_to_file")
    log = tool("nsq_to_file", "--topic=orders", f"--output-dir={tmp_path}/out",
               "--sync-interval=50ms", "--filename-format=<TOPIC>.log",
               f"--nsqd-tcp-address={nsqd.tcp}")  # fmt: skip
    path = tmp_path / "out" / "orders.log"
    nsqd.post("/pub?topic=orders", b"one")
    settled(nsqd, "orders", "nsq_to_file", 1)
    path.rename(tmp_path / "out" / "orders.log.1")
    log.signal(signal.SIGHUP)
    wait_until(lambda: "reloading" in log.err, "the signal is there")
    nsqd.post("/pub?topic=orders", b"two")
    wait_until(lambda: path.exists() and path.read_bytes() == b"two\n", "the new one has it")
    assert (tmp_path / "out" / "orders.log.1").read_bytes() == b"one\n"
    assert log.end() == 0


def test_topics_that_appear_later_are_found(daemon, tool, tmp_path):
    lookupd = daemon("nsqlookupd")
    nsqd = daemon("nsqd", f"--lookupd-tcp-address={lookupd.tcp}")
    log = tool("nsq_to_file", r"--topic-pattern=^log_[[:lower:]]\z", "--topic-refresh=100ms", NAME,
               f"--output-dir={tmp_path}/out", "--sync-interval=50ms",
               f"--lookupd-http-address={lookupd.http}")  # fmt: skip
    for topic in ("log_a", "other", "log_b"):
        nsqd.post(f"/pub?topic={topic}", topic.encode())
    for topic in ("log_a", "log_b"):
        settled(nsqd, topic, "nsq_to_file", 1)
    assert log.end() == 0
    assert content(tmp_path / "out") == {"log_a.log": b"log_a\n", "log_b.log": b"log_b\n"}
    assert not nsqd.channel("other", "nsq_to_file")


def test_it_waits_for_an_nsqd_that_is_not_there_yet(daemon, tool, tmp_path):
    nsqd = daemon("nsqd")
    nsqd.terminate()
    log = tool("nsq_to_file", "--topic=orders", f"--output-dir={tmp_path}/out", NAME,
               "--sync-interval=50ms", f"--nsqd-tcp-address={nsqd.tcp}")  # fmt: skip
    wait_until(lambda: "trying again" in log.err, "it tried")
    nsqd.start()
    consuming(nsqd, "orders", "nsq_to_file")
    nsqd.post("/pub?topic=orders", b"one")
    settled(nsqd, "orders", "nsq_to_file", 1)
    assert log.end() == 0
    assert content(tmp_path / "out") == {"orders.log": b"one\n"}


@pytest.mark.parametrize(
    ("flags", "status"),
    [
        (["--gzip", "--filename-format=<TOPIC>.log"], 1),
        (["--rotate-size=10", "--filename-format=<TOPIC>.log"], 1),
        (["--topic-pattern=("], 1),
        (["--log-level=loud"], 1),
        (["--sync-interval=0s"], 1),
        (["--http-client-connect-timeout=0s"], 1),
        (["--gzip-level=0"], 1),
        (["--rotate-interval=5"], 2),
        (["positional"], 1),
    ],
)
def test_wrong_settings_are_one_clear_line(tool, flags, status):
    log = tool("nsq_to_file", "--topic=t", "--nsqd-tcp-address=127.0.0.1:1", *flags)
    assert log.wait() == status
    assert "Traceback" not in log.err


@pytest.mark.parametrize("flags", [[], ["--gzip"], ["--work-dir=work"]])
def test_no_message_is_finished_into_a_file_that_was_removed(nsqd, tool, tmp_path, flags):
    nsqd.create("orders", "nsq_to_file")
    log = tool("nsq_to_file", "--topic=orders", f"--output-dir={tmp_path}/out", NAME, *flags,
               "--sync-interval=1h", f"--nsqd-tcp-address={nsqd.tcp}")  # fmt: skip
    nsqd.post("/pub?topic=orders", b"first")
    settled(nsqd, "orders", "nsq_to_file", 1)
    nsqd.post("/mpub?topic=orders", b"\n".join(b"%d" % number for number in range(10)))
    wait_until(lambda: nsqd.channel("orders", "nsq_to_file")["in_flight_count"] == 10)
    for folder in ("out", "work"):
        shutil.rmtree(tmp_path / folder, ignore_errors=True)
    assert log.end() == 0
    assert "was removed" in log.err
    wait_until(lambda: not nsqd.channel("orders", "nsq_to_file")["clients"], "it has left")
    kept = len(lines(tmp_path / "out")) + nsqd.channel("orders", "nsq_to_file")["depth"]
    assert kept == 10


def test_of_topics_that_were_deleted_nothing_is_kept(daemon, tool, tmp_path):
    lookupd = daemon("nsqlookupd")
    nsqd = daemon("nsqd", f"--lookupd-tcp-address={lookupd.tcp}")
    before = len(os.listdir("/proc/self/fd"))
    log = tool("nsq_to_file", "--topic-pattern=^log_", "--topic-refresh=50ms", NAME,
               f"--output-dir={tmp_path}/out", f"--lookupd-http-address={lookupd.http}",
               "--sync-interval=50ms",
               "--consumer-opt=lookupd_poll_interval,50ms")  # fmt: skip
    topics = [f"log_{number}" for number in range(5)]
    for topic in topics:
        nsqd.create(topic)
        nsqd.post(f"/pub?topic={topic}", topic.encode())
        settled(nsqd, topic, "nsq_to_file", 1)
    with_topics = len(os.listdir("/proc/self/fd"))
    assert with_topics >= before + 10
    for topic in topics:
        nsqd.post(f"/topic/delete?topic={topic}")
        lookupd.post(f"/topic/delete?topic={topic}")
    wait_until(lambda: all(f"topic({topic}): is gone" in log.err for topic in topics), "they go")
    wait_until(lambda: len(os.listdir("/proc/self/fd")) <= with_topics - 10, "descriptors are free")
    nsqd.create("log_0")  # and one that comes back is logged again
    nsqd.post("/pub?topic=log_0", b"again")
    settled(nsqd, "log_0", "nsq_to_file", 1)
    assert log.end() == 0
    assert content(tmp_path / "out")["log_0.log"] == b"log_0\nagain\n"


def test_a_hang_up_while_it_starts_does_not_end_it(nsqd, tool_process, tmp_path):
    nsqd.create("orders", "nsq_to_file")
    log = tool_process("nsq_to_file", "--topic=orders", f"--output-dir={tmp_path}/out", NAME,
                       f"--nsqd-tcp-address={nsqd.tcp}")  # fmt: skip
    status = Path(f"/proc/{log.process.pid}/status")

    def is_caught() -> bool:
        mask = next(row for row in status.read_text().splitlines() if row.startswith("SigCgt"))
        return bool(int(mask.split()[1], 16) >> (signal.SIGHUP - 1) & 1)

    wait_until(is_caught, "it listens for signals")
    for _ in range(20):
        log.signal(signal.SIGHUP)
    nsqd.post("/pub?topic=orders", b"one")
    settled(nsqd, "orders", "nsq_to_file", 1)
    assert log.end() == 0
    assert content(tmp_path / "out") == {"orders.log": b"one\n"}
