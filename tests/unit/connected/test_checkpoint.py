"""What an unfinished bundle was fixed to: this workstation says it, the medium only names it."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from platformdirs import user_state_path

from airgap.canonical import format_time
from airgap.connected.checkpoint import Checkpoint, Unfinished, check_past
from airgap.errors import HostError, UsageError
from airgap.oci.platform import Platform
from airgap.spec.bundle_spec import Request

REQUEST = Request("site", (Platform("linux", "amd64"),), ())
STARTED = Checkpoint(
    1_700_000_000, "2023-11-14T22:13:20Z", {"docker.io/library/a:1": f"sha256:{1:064}"}
)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return user_state_path("airgap") / "unfinished"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "bundle"


def begin(output: Path, started: Checkpoint = STARTED) -> None:
    with Unfinished(output, REQUEST, "").resume(started):
        pass


def load(output: Path) -> Checkpoint | None:
    return Unfinished(output, REQUEST, "").load()


def plan_of(output: Path) -> Path:
    return output / ".unfinished/plan.json"


def test_a_later_run_has_what_the_first_one_fixed(output: Path) -> None:
    assert load(output) is None
    begin(output)
    assert load(output) == STARTED


def test_it_is_found_where_the_medium_is_mounted_next(output: Path, tmp_path: Path) -> None:
    begin(output)
    output.rename(tmp_path / "elsewhere")
    assert load(tmp_path / "elsewhere") == STARTED


def test_only_the_owner_can_read_it_and_the_medium_has_nothing_of_it(
    output: Path, state: Path
) -> None:
    begin(output)
    (kept,) = state.iterdir()
    assert state.stat().st_mode & 0o777 == 0o700
    assert kept.stat().st_mode & 0o777 == 0o600
    assert plan_of(output).parent.stat().st_mode & 0o777 == 0o700
    assert list(json.loads(plan_of(output).read_bytes())) == ["begun"]


_FULL: dict[str, Any] = {
    "serial": 4_070_908_800,
    "created": "2099-01-01T00:00:00Z",
    "digests": {"docker.io/library/a:1": f"sha256:{2:064}"},
}


@pytest.mark.parametrize(
    "planted",
    [
        {"begun": "0" * 32},
        {"begun": "../" * 8 + "etc/passwd"},
        {"begun": "*"},
        {"begun": ""},
        {"begun": None},
        {"begun": ["0" * 32]},
        {"request": {}, **_FULL},
        _FULL,
        {},
        [],
        "text",
    ],
)
def test_what_a_medium_says_by_itself_is_refused(planted: object, output: Path) -> None:
    plan_of(output).parent.mkdir(parents=True)
    plan_of(output).write_text(json.dumps(planted))
    with pytest.raises(UsageError, match="holds an unfinished bundle that"):
        load(output)


@pytest.mark.parametrize("key", list(_FULL))
def test_what_a_medium_adds_to_a_name_is_refused(key: str, output: Path) -> None:
    begin(output)
    named = json.loads(plan_of(output).read_bytes())
    plan_of(output).write_text(json.dumps(named | {key: _FULL[key]}))
    with pytest.raises(UsageError, match="cannot be read"):
        load(output)


@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "large", "nested"])
def test_a_plan_that_is_no_small_file_is_refused(kind: str, output: Path, tmp_path: Path) -> None:
    begin(output)
    plan = plan_of(output)
    plan.rename(tmp_path / "moved")
    if kind == "link":
        plan.symlink_to(tmp_path / "moved")
    elif kind == "pipe":
        os.mkfifo(plan)
    elif kind == "folder":
        plan.mkdir()
    else:
        plan.write_text(" " * 5_000 if kind == "large" else "[" * 1_000)
    with pytest.raises(UsageError, match="cannot be read"):
        load(output)


def test_a_link_to_a_folder_with_a_plan_is_refused(output: Path, tmp_path: Path) -> None:
    begin(output)
    (output / ".unfinished").rename(tmp_path / "moved")
    (output / ".unfinished").symlink_to(tmp_path / "moved")
    with pytest.raises(UsageError, match="cannot be read"):
        load(output)


def test_a_name_is_forgotten_when_its_bundle_is_signed(
    output: Path, state: Path, tmp_path: Path
) -> None:
    begin(output)
    shutil.copytree(output, tmp_path / "copied")
    unfinished = Unfinished(output, REQUEST, "")
    with unfinished.resume(STARTED):
        unfinished.remove()
    assert list(state.iterdir()) == []
    with pytest.raises(UsageError, match="not begun here"):
        load(tmp_path / "copied")


def test_a_name_is_forgotten_when_another_one_is_begun_in_its_folder(
    output: Path, tmp_path: Path
) -> None:
    begin(output)
    output.rename(tmp_path / "old")
    begin(output, Checkpoint(1_700_000_001, "2023-11-14T22:13:21Z", {}))
    with pytest.raises(UsageError, match="not begun here"):
        load(tmp_path / "old")


def test_a_name_counts_for_a_month(output: Path, state: Path) -> None:
    begin(output)
    (kept,) = state.iterdir()
    long_ago = datetime.now(UTC).timestamp() - 31 * 24 * 3600
    os.utime(kept, (long_ago, long_ago))
    with pytest.raises(UsageError, match="too old"):
        load(output)


@pytest.mark.parametrize("who", ["file", "folder"])
def test_what_others_can_change_does_not_count(who: str, output: Path, state: Path) -> None:
    begin(output)
    if who == "file":
        next(state.iterdir()).chmod(0o666)
        with pytest.raises(HostError, match="others can change"):
            load(output)
    else:
        state.chmod(0o777)
        with pytest.raises(HostError, match="others can change"):
            begin(output.with_name("another"))


def test_another_request_does_not_continue_it(output: Path) -> None:
    begin(output)
    other = Request("other", REQUEST.host_platforms, ())
    with pytest.raises(UsageError, match="another plan"):
        Unfinished(output, other, "").load()


@pytest.mark.parametrize("seconds", [60, 3_600, 10**9])
def test_a_bundle_from_the_future_is_not_begun_or_signed(seconds: int, output: Path) -> None:
    created = format_time(datetime.now(UTC) + timedelta(seconds=seconds))
    with pytest.raises(HostError, match="clock"):
        begin(output, Checkpoint(1, created, {}))
    with pytest.raises(HostError, match="clock"):
        check_past(created)
    assert not output.exists()


@pytest.mark.parametrize("part", [".unfinished", ""])
def test_a_folder_that_is_a_link_is_not_written_to(part: str, output: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    if not part:
        output.symlink_to(tmp_path / "elsewhere")  # the user names it
        begin(output)
        assert (tmp_path / "elsewhere/.unfinished/plan.json").exists()
        return
    output.mkdir()
    (output / part).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(HostError, match="is a link"):
        begin(output)
    assert list((tmp_path / "elsewhere").iterdir()) == []
