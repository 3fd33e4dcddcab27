from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.data import DATA_SETS, DataSet
from benchmarks.jobs import JOBS, Job
from benchmarks.tools import Programs, Task, airgap_bundle, oras_push, skopeo_sync


def programs(*unsynced: str, hauler: str = "") -> Programs:
    key, verbs = Path("bench.key"), frozenset(unsynced)
    names = ("airgap", "python", "crane", "oras", "regctl", "skopeo")
    return Programs(*names, hauler=hauler, key=key, unsynced=verbs)


def task(folder: Path, *, sync: bool = False) -> Task:
    images = ["bench/small-0000:1", "bench/small-0001:1"]
    return Task("127.0.0.1:5000", images, folder / "source", folder, sync)


@pytest.mark.parametrize(
    ("unsynced", "sync", "expected"),
    [(["bundle"], False, True), (["bundle"], True, False), (["install"], False, False)],
)
def test_airgap_leaves_the_disk_to_the_system_where_the_others_do(
    tmp_path: Path, unsynced: list[str], sync: bool, expected: bool
) -> None:
    (command,) = airgap_bundle(programs(*unsynced), task(tmp_path, sync=sync))
    assert ("--no-sync" in command) is expected


def test_oras_is_given_the_digest_in_each_layout(tmp_path: Path) -> None:
    for number in range(2):
        layout = tmp_path / "source" / str(number)
        layout.mkdir(parents=True)
        index = {"manifests": [{"digest": f"sha256:{number}"}]}
        (layout / "index.json").write_text(json.dumps(index))
    _, second = oras_push(programs(), task(tmp_path))
    assert second[-2:] == [
        f"{tmp_path}/source/1@sha256:1",
        "127.0.0.1:5000/bench/small-0001:1",
    ]


def test_the_list_for_skopeo_has_every_image(tmp_path: Path) -> None:
    skopeo_sync(programs(), task(tmp_path))
    wanted = json.loads((tmp_path / "images.yaml").read_text())["127.0.0.1:5000"]
    assert wanted["images"] == {"bench/small-0000": ["1"], "bench/small-0001": ["1"]}


@pytest.mark.parametrize("data", DATA_SETS.values(), ids=DATA_SETS)
@pytest.mark.parametrize("job", JOBS, ids=[job.name for job in JOBS])
def test_each_tool_does_a_job_in_one_way(job: Job, data: DataSet) -> None:
    tools = [contender.tool for contender in job.contenders_for(data)]
    assert tools[0] == "airgap"
    assert len(tools) == len(set(tools))


def test_hauler_takes_part_if_it_is_given() -> None:
    assert not programs().has("hauler")
    assert programs(hauler="/opt/hauler").has("hauler")
    assert programs().has("crane")
