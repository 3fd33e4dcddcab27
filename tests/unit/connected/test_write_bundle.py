"""Making a bundle with recordings: written after the images, signed last, made again every time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from airgap.bundle.archive import Archive
from airgap.bundle.contents import Contents
from airgap.bundle.media import Media
from airgap.bundle.replay_tar import ReplayTar
from airgap.bundle.verify import listed_names, read_signed, verify_all
from airgap.connected.fetch import TransferLimits
from airgap.connected.plan import make_plan
from airgap.connected.replay_tar import Recorded
from airgap.connected.resolve import ResolvedImage
from airgap.connected.write_bundle import (
    OutputOptions,
    PlannedBundle,
    open_unsigned,
    plan_bundle,
    sign_bundle,
    write_images,
    write_recordings,
)
from airgap.errors import BuildError, IntegrityError, UsageError
from airgap.limits import LIMITS
from airgap.oci.credentials import Credentials
from airgap.oci.digest import digest_of
from airgap.oci.manifest import OCI_MANIFEST, blobs_of
from airgap.oci.platform import Platform
from airgap.oci.registries import Registries
from airgap.oci.registry import RegistryClient
from airgap.progress import Progress
from airgap.replay.recording_store import check_maps
from airgap.spec.bundle_spec import Request
from airgap.trust.keys import PrivateKey
from tests import forge
from tests.forge import new_key
from tests.unit.connected.test_replay_tar import kept

# A bundle without images asks nobody.
SOURCE = RegistryClient(Registries(), Credentials())


@pytest.fixture(scope="module")
def key() -> PrivateKey:
    return new_key()


def draft(output: Path, volume_bytes: int = 0) -> PlannedBundle:
    request = Request("site", (Platform("linux", "amd64"),), ())
    target = OutputOptions(output, volume_bytes=volume_bytes, durable=False)
    return plan_bundle(request, target, SOURCE, Progress())


Record = Callable[[Archive], Recorded]


def write(output: Path, key: PrivateKey, record: Record | None, volume_bytes: int = 0) -> Contents:
    """Takes the steps of `make_bundle`, with recordings that the test made."""
    planned = draft(output, volume_bytes)
    with planned.unfinished.resume(planned.started):
        contents = write_images(planned, b"not a program\n", SOURCE, TransferLimits(), Progress())
        if record is not None:
            with open_unsigned(output, contents) as (archive, _):
                recorded = record(archive)
            contents = write_recordings(planned, contents, recorded, Progress())
        return sign_bundle(planned, contents, key)


def recording(folder: Path, *recordings: forge.Recorded) -> Callable[[Archive], Recorded]:
    return lambda _archive: kept(folder, *recordings)


@pytest.mark.parametrize("volume_bytes", [0, 700])
def test_a_bundle_with_recordings_is_good(
    tmp_path: Path, key: PrivateKey, volume_bytes: int
) -> None:
    output = tmp_path / "out"
    made = write(output, key, recording(tmp_path, forge.recorded()), volume_bytes)
    media = Media([output])
    contents = read_signed(media, [key.public]).contents
    assert contents == made
    verify_all(media, contents, Progress())
    with ReplayTar(media, contents) as replay:
        check_maps(replay)
    assert media.unlisted(listed_names(contents)) == []
    assert contents.recordings == (forge.recorded().entry,)
    assert bool(len(contents.replay_volumes) > 1) is bool(volume_bytes)
    assert "airgap build" in (output / "README.txt").read_text()


def test_images_can_be_read_while_builds_are_recorded(tmp_path: Path, key: PrivateKey) -> None:
    seen: list[str] = []

    def record(archive: Archive) -> Recorded:
        archive.check_framing(archive.manifests())
        seen.extend(path.name for path in (tmp_path / "out").iterdir() if path.is_file())
        return kept(tmp_path, forge.recorded())

    write(tmp_path / "out", key, record)
    assert seen == ["images.tar"]  # nothing that says that the bundle is finished


def test_where_nothing_was_recorded_the_bundle_is_as_without(
    tmp_path: Path, key: PrivateKey
) -> None:
    contents = write(tmp_path / "out", key, recording(tmp_path))
    assert (contents.critical, contents.recordings, contents.replay) == ((), (), ())
    assert not list((tmp_path / "out").glob("replay.tar*"))


def test_a_failed_build_signs_nothing_and_the_next_run_records_again(
    tmp_path: Path, key: PrivateKey
) -> None:
    output = tmp_path / "out"

    def fail(_archive: Archive) -> Recorded:
        raise BuildError("the build failed")

    with pytest.raises(BuildError):
        write(output, key, fail)
    assert not (output / "SHA256SUMS").exists()
    (output / "replay.tar.003").write_text("of a run that was killed")
    contents = write(output, key, recording(tmp_path, forge.recorded()))
    assert contents.recordings
    media = Media([output])
    assert media.unlisted(listed_names(contents)) == []


def test_a_run_without_recordings_removes_what_an_earlier_one_recorded(
    tmp_path: Path, key: PrivateKey
) -> None:
    output = tmp_path / "out"

    def fail(_archive: Archive) -> Recorded:
        raise BuildError("the build failed")

    with pytest.raises(BuildError):
        write(output, key, fail)
    (output / "replay.tar").write_text("of a run that was killed")
    write(output, key, None)
    assert not (output / "replay.tar").exists()


def test_a_map_that_no_reader_would_take_is_refused(tmp_path: Path, key: PrivateKey) -> None:
    usual = kept(tmp_path, forge.recorded())
    sizes = {**usual.blobs, usual.entries[0].digest: LIMITS.recording_bytes + 1}
    with pytest.raises(UsageError, match="bytes in the map of one recording"):
        write(tmp_path / "out", key, lambda _archive: replace(usual, blobs=sizes))


@pytest.mark.parametrize("until", ["1969-12-31T23:59:59Z", "0999-01-01T00:00:00Z", "tomorrow"])
def test_what_no_reader_takes_is_not_signed(tmp_path: Path, key: PrivateKey, until: str) -> None:
    output = tmp_path / "out"
    with pytest.raises(IntegrityError, match=r"cannot be installed: .*until cannot be"):
        write(output, key, recording(tmp_path, forge.recorded(until=until)))
    assert not (output / "SHA256SUMS").exists()
    assert not (output / "SHA256SUMS.sig").exists()
    write(output, key, recording(tmp_path, forge.recorded()))


def test_what_the_disk_has_changed_is_not_signed(tmp_path: Path, key: PrivateKey) -> None:
    output = tmp_path / "out"

    def record(_archive: Archive) -> Recorded:
        tar = bytearray((output / "images.tar").read_bytes())
        tar[0] ^= 1
        (output / "images.tar").write_bytes(tar)
        return kept(tmp_path, forge.recorded())

    with pytest.raises(IntegrityError, match=r"cannot be installed: images\.tar differs"):
        write(output, key, record)
    assert not (output / "SHA256SUMS").exists()


def resolved(image: forge.Image) -> ResolvedImage:
    blobs = blobs_of(image.documents).values()
    return ResolvedImage(image.entry, image.bodies, image.documents, tuple(blobs))


@pytest.mark.parametrize("first", [True, False])
def test_a_wrong_size_of_what_another_image_includes_is_found_before_the_fetch(first: bool) -> None:
    """The first leaves that platform out, so that nothing of it is asked for by this name."""
    body, _ = forge.manifest("linux/arm64")
    own, blobs = forge.manifest("linux/amd64")
    entries = [
        forge.descriptor(OCI_MANIFEST, own, platform={"os": "linux", "architecture": "amd64"}),
        forge.descriptor(OCI_MANIFEST, body, platform={"os": "linux", "architecture": "arm64"}),
    ]
    fields = {"platforms": ["linux/amd64"], "omitted": ["linux/arm64"]}
    other = resolved(forge.single("ghcr.io/org/arm:1", "linux/arm64"))
    empty = draft_contents()
    for wrong in (0, 1):
        entries[1]["size"] += wrong
        index = forge.index_of("ghcr.io/org/app:1", entries, {digest_of(own): own}, blobs, **fields)
        images = [resolved(index), other][:: 1 if first else -1]
        if wrong:
            with pytest.raises(IntegrityError, match="states a wrong size for sha256:"):
                make_plan(empty, images)
        else:
            make_plan(empty, images)


def draft_contents() -> Contents:
    return Contents("site", 1, forge.CREATED, "", "0", ("linux/amd64",), (), ())
