"""The step that includes recordings: once, from one or two media, and away again."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from airgap.builder.engine import Engine
from airgap.bundle.archive import Archive
from airgap.bundle.media import Media
from airgap.bundle.replay_tar import ReplayTar
from airgap.bundle.verify import read_signed
from airgap.errors import HostError, IntegrityError
from airgap.isolated.context import Context, OpenBundle
from airgap.isolated.host.system import docker_group
from airgap.isolated.host.user import User
from airgap.isolated.state.changes import Changes
from airgap.isolated.state.layout import State
from airgap.isolated.state.settings import HostSettings
from airgap.isolated.steps import STEP_NAMES
from airgap.isolated.steps.base import check_step
from airgap.isolated.steps.recordings import RecordingsStep
from airgap.oci.digest import digest_of
from airgap.progress import Progress
from airgap.replay.contents_rules import check_bundle
from airgap.replay.recording_store import load_recording
from airgap.store import layout
from airgap.store.bundle_set import BundleSet
from airgap.trust.keys import PrivateKey
from tests import forge
from tests.forge import make_bundle, new_key

STEP = RecordingsStep()


@pytest.fixture(scope="module")
def key() -> PrivateKey:
    return new_key()


@contextmanager
def work_with(root: Path, folders: Sequence[Path], key: PrivateKey) -> Iterator[Context]:
    """What steps are given while a bundle is installed."""
    media, state = Media(folders), State(root)
    signed = read_signed(media, [key.public])
    with ExitStack() as stack:
        archive = stack.enter_context(Archive(media, signed.contents))
        replay = stack.enter_context(ReplayTar(media, signed.contents))
        check_bundle(media, signed.contents, archive, replay)
        yield Context(
            state=state,
            desired=BundleSet.of([signed.contents]),
            settings=HostSettings(),
            engine=Engine(root),
            user=User("nobody", os.getuid(), os.getgid(), root),
            changes=Changes(state),
            progress=Progress(),
            bundle=OpenBundle(media, signed, archive, replay, archive.manifests()),
        )


def test_recordings_are_included_after_the_images_and_by_anybody() -> None:
    assert STEP_NAMES.index("recordings") == STEP_NAMES.index("seed") + 1
    assert not STEP.needs_root
    assert STEP.roles == ()


def test_they_are_included_once_and_taken_away(tmp_path: Path, key: PrivateKey) -> None:
    bundle = tmp_path / "bundle"
    make_bundle(bundle, key, recordings=[forge.recorded("app"), forge.recorded("lib", {})])
    with work_with(tmp_path / "state", [bundle], key) as context:
        before = check_step(STEP, context)
        assert not before.ok
        assert "replay lacks sha256:" in before.detail
        STEP.apply(context)
        after = check_step(STEP, context)
        assert (after.ok, after.detail) == (True, "2 recordings")
        STEP.undo(context)
        assert not context.state.replay.root.exists()
        STEP.undo(context)


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_only_who_may_build_can_read_what_was_recorded(
    tmp_path: Path, key: PrivateKey, umask: int
) -> None:
    make_bundle(tmp_path / "bundle", key, recordings=[forge.recorded()])
    before = os.umask(umask)
    try:
        with work_with(tmp_path / "state", [tmp_path / "bundle"], key) as context:
            root = context.state.replay.root
            STEP.apply(context)
            status = root.stat()
            assert stat.S_IMODE(status.st_mode) & 0o027 == 0
            assert status.st_gid == (docker_group() if os.geteuid() == 0 else os.getegid())
            root.chmod(0o755)  # as earlier versions made it
            assert check_step(STEP, context).detail == f"{root} is not for users of Docker alone"
            STEP.apply(replace(context, bundle=None))
            assert stat.S_IMODE(root.stat().st_mode) & 0o027 == 0
            assert check_step(STEP, context).ok
    finally:
        os.umask(before)


def test_who_may_not_build_is_told_so(tmp_path: Path, key: PrivateKey) -> None:
    make_bundle(tmp_path / "bundle", key, recordings=[forge.recorded()])
    with work_with(tmp_path / "state", [tmp_path / "bundle"], key) as context:
        STEP.apply(context)
        context.state.replay.root.chmod(0)
        child = os.fork()
        if not child:  # without the rights of root, who may read everything
            status = 1
            try:
                if os.geteuid() == 0:
                    os.setgroups([])
                    os.setresgid(65534, 65534, 65534)
                    os.setresuid(65534, 65534, 65534)
                load_recording(context.state.replay, forge.recorded().entry)
            except HostError as error:
                status = 0 if "Permission denied" in error.message else 1
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        context.state.replay.root.chmod(0o700)


def test_a_bundle_without_recordings_changes_nothing(tmp_path: Path, key: PrivateKey) -> None:
    make_bundle(tmp_path / "bundle", key)
    with work_with(tmp_path / "state", [tmp_path / "bundle"], key) as context:
        assert check_step(STEP, context).ok
    assert not (tmp_path / "state").exists()


def test_only_what_is_missing_is_restored(tmp_path: Path, key: PrivateKey) -> None:
    make_bundle(tmp_path / "bundle", key, recordings=[forge.recorded()])
    with work_with(tmp_path / "state", [tmp_path / "bundle"], key) as context:
        STEP.apply(context)
        store = context.state.replay
        gone = store.root / layout.blob_data(digest_of(b"two"))
        stays = store.root / layout.blob_data(forge.recorded().entry.digest)
        inode = stays.stat().st_ino
        gone.unlink()
        found = check_step(STEP, context)
        assert (found.ok, found.detail) == (False, f"app lacks {digest_of(b'two')}")
        STEP.apply(context)
        assert gone.read_bytes() == b"two"
        assert stays.stat().st_ino == inode
        assert check_step(STEP, context).ok


def test_the_volumes_may_lie_on_two_media(tmp_path: Path, key: PrivateKey) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    make_bundle(first, key, recordings=[forge.recorded()], volume_bytes=2000)
    second.mkdir()
    (first / "replay.tar.001").rename(second / "replay.tar.001")
    with work_with(tmp_path / "state", [first, second], key) as context:
        STEP.apply(context)
        assert check_step(STEP, context).ok
    missing = r"missing from .*first: replay\.tar\.001 \(volume 2 of 3\)"
    with (
        pytest.raises(IntegrityError, match=missing),
        work_with(tmp_path / "other", [first], key),
    ):
        pass


def test_a_map_that_does_not_fit_is_refused_before_anything_changes(
    tmp_path: Path, key: PrivateKey
) -> None:
    odd = forge.recorded_map("app", [forge.response("https://x.example/", b"x")], [])
    make_bundle(tmp_path / "bundle", key, recordings=[odd])
    with (
        pytest.raises(IntegrityError, match="app needs sha256:"),
        work_with(tmp_path / "state", [tmp_path / "bundle"], key),
    ):
        pass
