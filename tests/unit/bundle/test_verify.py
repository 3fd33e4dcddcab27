"""From media to contents that may be believed."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from airgap.bundle import verify
from airgap.bundle.archive import Archive
from airgap.bundle.checksums import CHECKSUMS_NAME, SIGNATURE_NAME, checksums
from airgap.bundle.contents import CONTENTS_NAME, README_NAME, TOOL_NAME
from airgap.bundle.media import Media
from airgap.errors import HostError, IntegrityError, TrustError
from airgap.progress import Progress
from airgap.trust.keys import PrivateKey
from tests.forge import CREATED, forge, make_bundle, new_key, recorded, sign


class ChangingMedia(Media):
    """A medium that answers from one folder at first and from another one later."""

    def __init__(self, first: Path, later: Path, honest_reads: dict[str, int]) -> None:
        super().__init__([first])
        self.later = Media([later])
        self.left = dict(honest_reads)
        self.opened: Counter[str] = Counter()

    def open(self, name: str) -> int:
        self.opened[name] += 1
        self.left[name] = self.left.get(name, 0) - 1
        return super().open(name) if self.left[name] >= 0 else self.later.open(name)


@pytest.fixture
def unsigned(tmp_path: Path) -> Path:
    """A bundle that nobody trusts, complete in itself."""
    make_bundle(tmp_path / "unsigned", new_key("stranger"), name="evil")
    return tmp_path / "unsigned"


def test_contents_are_those_whose_checksums_were_signed(
    bundle: Path, unsigned: Path, key: PrivateKey
) -> None:
    media = ChangingMedia(bundle, unsigned, {CHECKSUMS_NAME: 1, SIGNATURE_NAME: 1})
    with pytest.raises(IntegrityError, match=r"^bundle.json is damaged"):
        verify.read_signed(media, [key.public])


def test_what_is_signed_is_read_once(bundle: Path, unsigned: Path, key: PrivateKey) -> None:
    once = {CHECKSUMS_NAME: 1, SIGNATURE_NAME: 1, CONTENTS_NAME: 1}
    media = ChangingMedia(bundle, unsigned, once)
    signed = verify.read_signed(media, [key.public])
    assert signed.contents.name == "small"
    assert media.opened == once


def test_a_small_file_is_hashed_on_the_read_that_gives_it(
    bundle: Path, tmp_path: Path, key: PrivateKey
) -> None:
    other = tmp_path / "other"
    make_bundle(other, key, tool=b"one program!!\n")
    contents = verify.read_contents(Media([bundle]))
    media = ChangingMedia(bundle, other, {TOOL_NAME: 1})
    assert verify.read_file(media, contents, TOOL_NAME, 1000) == b"not a program\n"
    with pytest.raises(IntegrityError, match=r"tool/airgap\.pyz is damaged"):
        verify.read_file(media, contents, TOOL_NAME, 1000)


def test_a_small_file_is_read_up_to_its_limit(bundle: Path) -> None:
    media = Media([bundle])
    contents = verify.read_contents(media)
    with pytest.raises(IntegrityError, match="larger than 3 bytes"):
        verify.read_file(media, contents, TOOL_NAME, 3)


def test_a_repaired_copy_of_a_small_file_is_taken(bundle: Path, tmp_path: Path) -> None:
    repaired = tmp_path / "repaired"
    shutil.copytree(bundle / "tool", repaired / "tool")
    (bundle / TOOL_NAME).write_bytes(b"damaged bytes\n")
    media = Media([bundle, repaired])
    contents = verify.read_contents(media)
    assert verify.read_file(media, contents, TOOL_NAME, 1000) == b"not a program\n"
    verify.verify_all(media, contents, Progress())


def test_what_was_signed_is_told(bundle: Path, key: PrivateKey) -> None:
    other = new_key("other")
    signed = verify.read_signed(Media([bundle]), [other.public, key.public])
    assert [one.name for one in signed.signers] == ["site"]
    assert signed.contents.created == CREATED
    assert signed.checksums == (bundle / CHECKSUMS_NAME).read_bytes()
    assert signed.checksums == checksums(signed.contents)
    assert signed.signature == (bundle / SIGNATURE_NAME).read_bytes()
    shown = subprocess.check_output(["sha256sum", CHECKSUMS_NAME], cwd=bundle, text=True)
    assert signed.digest == "sha256:" + shown.split()[0]


def test_another_signer_is_refused(bundle: Path) -> None:
    with pytest.raises(TrustError, match="not signed by a key that is trusted here"):
        verify.read_signed(Media([bundle]), [new_key("other").public])


def test_no_signature_is_refused(bundle: Path, key: PrivateKey) -> None:
    (bundle / SIGNATURE_NAME).unlink()
    with pytest.raises(TrustError, match="has no signature"):
        verify.read_signed(Media([bundle]), [key.public])


def test_an_empty_signature_is_refused(bundle: Path, key: PrivateKey) -> None:
    (bundle / SIGNATURE_NAME).write_bytes(b"")
    with pytest.raises(TrustError, match="has no signature"):
        verify.read_signed(Media([bundle]), [key.public])


def test_the_signature_comes_before_anything_that_it_covers(bundle: Path, key: PrivateKey) -> None:
    forge(bundle, new_key("other"), body=lambda _data: b"[" * 10_000)
    with pytest.raises(TrustError, match="not signed by a key"):
        verify.read_signed(Media([bundle]), [key.public])


def test_checksums_changed_after_signing_are_refused(bundle: Path, key: PrivateKey) -> None:
    with (bundle / CHECKSUMS_NAME).open("ab") as file:
        file.write(b"\n")
    with pytest.raises(TrustError, match="changed after signing"):
        verify.read_signed(Media([bundle]), [key.public])


def test_a_signature_of_other_contents_is_refused(
    bundle: Path, unsigned: Path, key: PrivateKey
) -> None:
    shutil.copy(unsigned / CHECKSUMS_NAME, bundle / CHECKSUMS_NAME)
    with pytest.raises(TrustError, match="not signed by a key"):
        verify.read_signed(Media([bundle]), [key.public])


def test_stock_tools_check_a_bundle(bundle: Path, key: PrivateKey) -> None:
    (bundle / "site.pub").write_bytes(key.public.pem())
    text = (bundle / README_NAME).read_text()
    command = next(line.strip() for line in text.splitlines() if "openssl" in line)
    subprocess.run(command.split(), cwd=bundle, check=True, capture_output=True)
    subprocess.run(["sha256sum", "-c", "--strict", CHECKSUMS_NAME], cwd=bundle, check=True)


def test_the_readme_names_the_command_for_each_algorithm(tmp_path: Path) -> None:
    key = new_key("vault", "ed25519")
    make_bundle(tmp_path, key)
    (tmp_path / "vault.pub").write_bytes(key.public.pem())
    text = (tmp_path / README_NAME).read_text()
    command = next(line.strip() for line in text.splitlines() if "openssl" in line)
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)


def test_the_readme_says_how_to_join_volumes(tmp_path: Path, key: PrivateKey) -> None:
    make_bundle(tmp_path, key, volume_bytes=8000)
    whole = b"".join(path.read_bytes() for path in sorted(tmp_path.glob("images.tar.*")))
    text = (tmp_path / README_NAME).read_text()
    command = text.rpartition("(first: ")[2].partition(")")[0]
    subprocess.run(command, shell=True, cwd=tmp_path, check=True)  # noqa: S602 - the README's own
    assert (tmp_path / "images.tar").read_bytes() == whole
    assert "images.tar.000 to images.tar.00" in text


def test_the_readme_says_what_was_recorded(tmp_path: Path, key: PrivateKey) -> None:
    until = "2026-02-01T00:00:00Z"
    recordings = [recorded("app", platforms=("linux/amd64", "linux/arm64")), recorded("lib")]
    recordings.append(recorded("debian", until=until))
    make_bundle(tmp_path, key, recordings=recordings, volume_bytes=4000)
    text = (tmp_path / README_NAME).read_text()
    assert "\n  app  linux/amd64, linux/arm64\n  lib  linux/amd64\n" in text
    assert f"\n  debian  linux/amd64  (with apt's checks of dates until {until})\n" in text
    assert "airgap build" in text
    assert "\nreplay.tar is cut into 2 files, replay.tar.000 to replay.tar.001.\n" in text
    assert "several media" in text


def test_the_readme_of_a_bundle_without_recordings_says_nothing_of_them(bundle: Path) -> None:
    text = (bundle / README_NAME).read_text()
    for word in ("airgap build", "RUN", "replay", "several media"):
        assert word not in text


def test_volumes_may_lie_on_several_media(tmp_path: Path, key: PrivateKey) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    make_bundle(first, key, volume_bytes=6000)
    second.mkdir()
    (first / "images.tar.001").rename(second / "images.tar.001")
    media = Media([first, second])
    signed = verify.read_signed(media, [key.public])
    verify.verify_all(media, signed.contents, Progress())
    assert media.unlisted(verify.listed_names(signed.contents)) == []


def test_progress_sees_every_byte(bundle: Path, key: PrivateKey) -> None:
    make_bundle(bundle, key, recordings=[recorded()])

    class Counting(Progress):
        total = done = 0

        def start(self, what: str, total: int) -> None:
            self.total += total

        def advance(self, count: int) -> None:
            self.done += count

    media, progress = Media([bundle]), Counting()
    contents = verify.read_contents(media)
    verify.verify_all(media, contents, progress)
    assert progress.done == sum(file.size for file in contents.files)


def test_extra_files_are_named(bundle: Path, key: PrivateKey) -> None:
    (bundle / "tool/autorun.inf").write_text("x")
    (bundle / "images.tar.001").write_text("x")
    (bundle / "README.md").symlink_to("/etc/passwd")
    (bundle / "etc").symlink_to("/etc")
    os.mkfifo(bundle / "pipe")
    media = Media([bundle])
    listed = verify.listed_names(verify.read_signed(media, [key.public]).contents)
    extra = ["README.md", "etc", "images.tar.001", "pipe", "tool/autorun.inf"]
    assert sorted(media.unlisted(listed)) == [bundle / name for name in extra]


_WATCHED_VERIFY = """
import sys
from pathlib import Path
from airgap.bundle.media import Media
from airgap.bundle.verify import listed_names, read_signed, verify_all
from airgap.progress import Progress
from airgap.trust.keys import load_public

def watch(event, arguments):
    if event == "open":
        print(arguments[0])

folder, key = Path(sys.argv[1]), load_public(Path(sys.argv[2]))
sys.addaudithook(watch)
media = Media([folder])
contents = read_signed(media, [key]).contents
print(media.unlisted(listed_names(contents)), file=sys.stderr)
verify_all(media, contents, Progress())
"""


def test_extra_files_are_never_opened(bundle: Path, tmp_path: Path, key: PrivateKey) -> None:
    (tmp_path / "site.pub").write_bytes(key.public.pem())
    (bundle / "extra.bin").write_text("x")
    run = subprocess.run(
        [sys.executable, "-c", _WATCHED_VERIFY, str(bundle), str(tmp_path / "site.pub")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "extra.bin" in run.stderr
    opened = {Path(line).name for line in run.stdout.splitlines()}
    assert {"images.tar", "README.txt", "airgap.pyz", "bundle.json"} <= opened
    assert "extra.bin" not in opened


def test_a_folder_that_is_not_there_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="is not a folder"):
        Media([tmp_path / "absent"])


def test_a_medium_that_was_pulled_out_is_told(bundle: Path) -> None:
    media = Media([bundle])
    shutil.rmtree(bundle)
    with pytest.raises(HostError, match="is not a folder"):
        verify.read_contents(media)


def test_a_medium_that_fails_lacks_no_file(
    bundle: Path, key: PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = verify.read_contents(Media([bundle]))
    stat_of = Path.lstat

    def fail(path: Path) -> os.stat_result:
        if path.is_relative_to(bundle):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return stat_of(path)

    media = Media([bundle])
    monkeypatch.setattr(Path, "lstat", fail)
    for attempt in (
        lambda: Media([bundle]),
        lambda: media.open(TOOL_NAME),
        lambda: media.copies(CONTENTS_NAME),
        lambda: verify.read_signed(media, [key.public]),
        lambda: Archive(media, contents),
    ):
        with pytest.raises(HostError, match="reinsert it"):
            attempt()


def test_a_file_that_cannot_be_read_is_the_mediums_fault(bundle: Path) -> None:
    media = Media([bundle])
    contents = verify.read_contents(media)
    with Archive(media, contents) as archive:
        gone = os.open(bundle, os.O_RDONLY)  # reading a folder fails, as a broken sector does
        with archive._open.use(0) as descriptor:
            os.dup2(gone, descriptor)
        os.close(gone)
        with pytest.raises(HostError, match=r"cannot read images\.tar: Is a directory"):
            archive.manifests()


def test_the_archive_closes_its_volumes(bundle: Path, key: PrivateKey) -> None:
    media = Media([bundle])
    contents = verify.read_contents(media)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with Archive(media, contents):
        assert len(list(Path("/proc/self/fd").iterdir())) == before + 1
    os.truncate(bundle / "images.tar", 1)
    with pytest.raises(IntegrityError, match=r"images\.tar has 1 bytes"):
        Archive(media, contents)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_the_last_piece_of_a_damaged_blob_is_never_given(bundle: Path, key: PrivateKey) -> None:
    media = Media([bundle])
    contents = verify.read_contents(media)
    last = contents.blobs[-1]
    with (bundle / "images.tar").open("r+b") as file:
        file.seek(last.offset)
        file.write(b"\0")
    given = b""
    with Archive(media, contents) as archive:
        with pytest.raises(IntegrityError, match=last.digest):
            for chunk in archive.blob(last):
                given += chunk
        with pytest.raises(IntegrityError, match=last.digest):
            archive.small_blob(last.digest, 1 << 20)
        with pytest.raises(IntegrityError, match="larger than 3 bytes"):
            archive.small_blob(last.digest, 3)
        with pytest.raises(IntegrityError, match="not among the blobs"):
            archive.small_blob("sha256:" + "0" * 64, 3)
    assert given == b""


def test_an_empty_blob_and_an_empty_bundle_are_all_right(tmp_path: Path, key: PrivateKey) -> None:
    make_bundle(tmp_path, key, images=[])
    media = Media([tmp_path])
    verify.verify_all(media, verify.read_signed(media, [key.public]).contents, Progress())


def test_a_signature_is_no_larger_than_one_can_be(bundle: Path, key: PrivateKey) -> None:
    (bundle / SIGNATURE_NAME).write_bytes(bytes(20_000))
    with pytest.raises(IntegrityError, match=r"SHA256SUMS.sig is larger than"):
        verify.read_signed(Media([bundle]), [key.public])


def test_a_bundle_can_be_signed_again(bundle: Path) -> None:
    other = new_key("other", "ed25519")
    sign(bundle, other, (bundle / CHECKSUMS_NAME).read_bytes())
    assert verify.read_signed(Media([bundle]), [other.public]).signers == (other.public,)
