"""One build with airgap, recorded or replayed: a program of its own, so that it can be measured.

It does what `airgap bundle --record` and `airgap build` do from the moment when there is a builder.
It is given a file with one JSON object: `way`; `buildx`, the command, with `builder` and
`arguments` of `buildx build`; `started`, which tells this start of BuildKit from others; `store`,
the folder of what is recorded; `report`, the file for the result.
"""

from __future__ import annotations

import hashlib
import json
import resource
import sys
from pathlib import Path
from typing import Any

from airgap.builder.arguments import BuildArguments
from airgap.builder.build_context import open_source
from airgap.builder.buildx import Builder, Buildx
from airgap.builder.buildx_build import Egress, build
from airgap.builder.proxy_ca import kept_ca
from airgap.bundle.contents import RecordingEntry
from airgap.oci.platform import parse_platform
from airgap.replay.recording import Recording, parse_recording
from airgap.replay.responses import Handler
from airgap.replay.server import Server
from airgap.store.store import Store

RECORDED, REPLAYED = "recorded", "replayed"
_ADDRESS = "127.0.0.1"
_PLATFORM = parse_platform("linux/amd64")


def main() -> None:
    """Builds, and reports what was recorded and how much memory this process took."""
    order = json.loads(Path(sys.argv[1]).read_text())
    store, report = Store(Path(order["store"])), {}
    name = store.root.with_name("map.json")
    if order["way"] == RECORDED:
        body = _record(order, store).to_bytes()
        name.write_bytes(body)
        report["size"] = _sizes(store, body)  # a bundle's replay.tar is planned too
    else:
        _replay(order, store, parse_recording(name.read_bytes()))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # getrusage(2): kilobytes
    Path(order["report"]).write_text(json.dumps({**report, "peak_bytes": peak}))


def _record(order: dict[str, Any], store: Store) -> Recording:
    from airgap.replay.recorder import Recorder, upstream_session

    recorder = Recorder(store, upstream_session())
    _build({**order, "started": ""}, recorder, any_date=False)  # a bundle has a BuildKit of its own
    if recorder.failures or recorder.left_out or recorder.refused:
        sys.exit(f"not recorded: {recorder.failures} {recorder.left_out} {recorder.refused}")
    return recorder.recording()


def _replay(order: dict[str, Any], store: Store, recording: Recording) -> None:
    from airgap.replay.replay import Replay

    replay = Replay(store, [recording])
    _build(order, replay, any_date=True)
    if replay.misses or replay.errors:
        sys.exit(f"not replayed: {replay.misses} {replay.errors}")


def _build(order: dict[str, Any], answerer: Handler, *, any_date: bool) -> None:
    buildx = Buildx(order["buildx"], order["builder"], {})
    builder = Builder(buildx, _ADDRESS, order["started"])
    arguments = BuildArguments.parse(order["arguments"])
    with open_source(arguments) as source, Server(answerer, builder.address) as server:
        way_out = Egress(server.base, kept_ca(builder, _PLATFORM), any_date)
        status = build(source, buildx, way_out)
    if status != 0:
        sys.exit(status)


def _sizes(store: Store, body: bytes) -> dict[str, int]:
    """What there is in the recording, and how large its `replay.tar` is."""
    from airgap.connected.replay_tar import Recorded, plan_replay

    responses = parse_recording(body).responses.values()
    bodies = {response.digest: response.size for response in responses}
    digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
    entry = RecordingEntry("bench", digest, "", (), "")
    plan = plan_replay(Recorded((entry,), store, {digest: len(body), **bodies}), mtime=0)
    return {
        "responses": len(responses),
        "downloaded_bytes": sum(response.size for response in responses),
        "distinct_bytes": sum(bodies.values()),
        "tar_bytes": plan.tar_bytes,
    }


if __name__ == "__main__":
    main()
