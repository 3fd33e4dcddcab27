"""What the journal promises, judged by strace; and a blob that continues after a kill."""

from __future__ import annotations

import json
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from lab.publish import OCI, Publisher
from lab.upstream import Upstream
from tests.integration.command import airgap, started
from tests.integration.faults import Exchange, FaultProxy

_MIB = 1 << 20
_MOST_UNSYNCED = 256 * _MIB
_RECORD_BYTES = 16
_MAIN = "from airgap.cli.main import main; main()"
# strace -f -y: process, call, file, what is in the brackets after it, result.
_CALL = re.compile(
    r"\d+ +(pwrite64|fdatasync)\(\d+<([^>]*)>"
    r'(?:, "((?:[^"\\]|\\.)*)"(?:\.\.\.)?, (\d+), (\d+))?\) += (\d+)'
)
_UNFINISHED = re.compile(r"(\d+) +(.*) <unfinished \.\.\.>")
_RESUMED = re.compile(r"(\d+) +<\.\.\. \w+ resumed>(.*)")


@dataclass(frozen=True, slots=True)
class Call:
    """A system call that ended: the line on which it began, and what it did."""

    begun: int
    ended: int
    name: str
    file: str
    data: str
    size: int
    offset: int


def _calls(trace: str) -> Iterator[Call]:
    """The calls of a trace, in the order in which they ended."""
    waiting: dict[str, tuple[int, str]] = {}
    for number, line in enumerate(trace.splitlines()):
        begun, text = number, line
        if match := _UNFINISHED.fullmatch(line):
            waiting[match[1]] = (number, match[2])
            continue
        if match := _RESUMED.fullmatch(line):
            begun, first = waiting.pop(match[1])
            text = f"{match[1]} {first}{match[2]}"
        if match := _CALL.match(text):
            name, file, data, size, offset, _ = match.groups()
            yield Call(
                begun, number, name, Path(file).name, data or "", int(size or 0), int(offset or 0)
            )


def _publish(publisher: Publisher, repository: str, sizes: list[int]) -> None:
    """An image whose layers are random bytes; nobody unpacks them."""
    seeded = random.Random(repository)
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI.manifest,
        "config": publisher.push_blob(repository, json.dumps(config).encode(), OCI.config),
        "layers": [
            publisher.push_blob(repository, seeded.randbytes(size), OCI.layer) for size in sizes
        ],
    }
    publisher.push_manifest(repository, "1", manifest)


def _arguments(address: str, repository: str, key: Path, out: Path) -> list[str | Path]:
    name = f"{address}/{repository}:1"
    return ["bundle", name, "--no-roles", "--platform", "linux/amd64", "--key", key, "-o", out]


def test_records_follow_what_they_say_to_the_disk_at_most_256_mib_apart(
    key: Path, registry: Upstream, tmp_path: Path
) -> None:
    _publish(registry.publisher(), "lab/large", [200 * _MIB, 90 * _MIB, 30 * _MIB])
    trace, out = tmp_path / "trace", tmp_path / "bundle"
    watched = ["strace", "-f", "-y", "-s", str(_RECORD_BYTES), "-o", str(trace)]
    watched += ["-e", "trace=pwrite64,fdatasync", sys.executable, "-c", _MAIN]
    arguments = map(str, _arguments(registry.address, "lab/large", key, out))
    subprocess.run([*watched, *arguments], check=True, capture_output=True, timeout=300)
    blobs = json.loads((out / "bundle.json").read_bytes())["blobs"]
    calls = list(_calls(trace.read_text()))
    writes = [call for call in calls if call.name == "pwrite64" and call.file == "images.tar"]
    syncs = [call for call in calls if call.name == "fdatasync" and call.file == "images.tar"]
    journal = [call for call in calls if call.file == "journal"]
    records = [call for call in journal if re.match(r"\d+\\n", call.data)]
    lasting = [call.ended for call in journal if call.name == "fdatasync"]
    assert len(lasting) > 1
    for record in records:
        blob, count = blobs[record.offset // _RECORD_BYTES], int(record.data[:-2])
        sync = max(call.begun for call in syncs if call.ended < record.begun)
        before = [write for write in writes if write.ended < sync]
        assert _covers(before, blob["offset"], count), (record, blob)
    for first, second in pairwise([0, *lasting, len(trace.read_bytes())]):
        between = [write.size for write in writes if first < write.ended < second]
        assert sum(between) <= _MOST_UNSYNCED


def _covers(writes: list[Call], offset: int, count: int) -> bool:
    position = offset
    for write in sorted(writes, key=lambda write: write.offset):
        if write.offset <= position < write.offset + write.size:
            position = write.offset + write.size
    return position >= offset + count


class HeldHalfWay:
    """A fault: half of each blob that is large comes, and the rest does not."""

    def __init__(self) -> None:
        self.on = True

    def __call__(self, exchange: Exchange) -> bool:
        if not self.on or not exchange.request_seen.is_blob:
            return False
        answer = exchange.fetched()
        if len(answer.body) < _MIB:
            return False
        exchange.begin(answer.status, answer.headers, len(answer.body))
        exchange.wfile.write(answer.body[: len(answer.body) // 2])
        exchange.wfile.flush()
        exchange.rfile.read(1)  # until the client is gone
        exchange.close_connection = True
        return True


def test_a_killed_run_continues_in_the_middle_of_a_blob(
    key: Path, tool: Path, registry: Upstream, proxy: FaultProxy, tmp_path: Path
) -> None:
    _publish(registry.publisher(), "lab/one-large", [6 * _MIB])
    out, held = tmp_path / "bundle", HeldHalfWay()
    proxy.fault = held
    arguments = _arguments(proxy.address, "lab/one-large", key, out)
    with started(tool, *arguments) as process:
        done = _first_record(out / ".unfinished/journal")
        process.send_signal(signal.SIGKILL)
    assert done == 3 * _MIB
    held.on = False
    proxy.requests.clear()
    outcome = airgap(*arguments)
    assert outcome.code == 0, outcome.err
    ranges = [request.headers.get("range") for request in proxy.requests if request.is_blob]
    assert f"bytes={done}-" in ranges
    assert airgap("verify", out, "--trust", key.with_suffix(".pub")).code == 0


def _first_record(journal: Path) -> int:
    """How much of a blob the journal says is there, as soon as it says so."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if journal.exists() and (found := re.search(r"\d{15}", journal.read_text())):
            return int(found[0])
        time.sleep(0.05)
    pytest.fail("the journal says nothing")
