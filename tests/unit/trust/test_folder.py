"""The folder of trusted keys."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from airgap.errors import HostError, TrustError, UsageError
from airgap.limits import LIMITS
from airgap.trust.folder import (
    add_key,
    refuse_key_in,
    refuse_key_on_medium,
    remove_key,
    trusted_keys,
)
from airgap.trust.keys import generate

ALGORITHM = "ecdsa-p256"


def new_pub(path: Path) -> Path:
    """A file with a new public key."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(generate(path.stem, ALGORITHM).public.pem())
    return path


def test_there_are_no_keys_without_a_folder(tmp_path: Path) -> None:
    assert trusted_keys(tmp_path / "absent") == ()


def test_a_key_is_trusted_once_it_was_added(tmp_path: Path) -> None:
    trust = tmp_path / "etc/trust"
    added = add_key(trust, new_pub(tmp_path / "site.pub"))
    assert [(key.name, key.fingerprint) for key in trusted_keys(trust)] == [
        ("site", added.fingerprint)
    ]
    assert [path.name for path in trust.iterdir()] == ["site.pub"]
    assert stat.S_IMODE((trust / "site.pub").stat().st_mode) == 0o644


def test_keys_are_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in "bca":
        add_key(tmp_path / "trust", new_pub(tmp_path / f"{name}.pub"))
    (tmp_path / "trust/notes.txt").write_text("not a key")
    assert [key.name for key in trusted_keys(tmp_path / "trust")] == ["a", "b", "c"]


def test_a_name_can_be_given(tmp_path: Path) -> None:
    assert add_key(tmp_path / "trust", new_pub(tmp_path / "site.pub"), "other").name == "other"
    assert (tmp_path / "trust/other.pub").exists()


@pytest.mark.parametrize("name", ["../site", "a/b", ".site", "a b", "a\n", "ä", "x" * 65])
def test_a_name_that_cannot_be_a_files_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="cannot name a key"):
        add_key(tmp_path / "trust", new_pub(tmp_path / "site.pub"), name)
    with pytest.raises(UsageError, match="is trusted"):
        remove_key(tmp_path / "trust", name)


def test_the_same_key_can_be_added_again(tmp_path: Path) -> None:
    pub = new_pub(tmp_path / "site.pub")
    assert add_key(tmp_path / "trust", pub) == add_key(tmp_path / "trust", pub)


def test_a_name_never_changes_its_key(tmp_path: Path) -> None:
    first = add_key(tmp_path / "trust", new_pub(tmp_path / "site.pub"))
    with pytest.raises(TrustError, match="another key is trusted under the name 'site'"):
        add_key(tmp_path / "trust", new_pub(tmp_path / "new/site.pub"))
    assert [key.fingerprint for key in trusted_keys(tmp_path / "trust")] == [first.fingerprint]


def test_what_is_not_a_key_is_not_added(tmp_path: Path) -> None:
    (tmp_path / "bad.pub").write_text("garbage")
    with pytest.raises(TrustError, match="not a public key"):
        add_key(tmp_path / "trust", tmp_path / "bad.pub")
    assert not (tmp_path / "trust").exists()


def test_one_bad_key_spoils_the_folder(tmp_path: Path) -> None:
    add_key(tmp_path / "trust", new_pub(tmp_path / "site.pub"))
    (tmp_path / "trust/bad.pub").write_text("garbage")
    with pytest.raises(TrustError, match=r"bad\.pub is not a public key"):
        trusted_keys(tmp_path / "trust")


def test_a_folder_that_cannot_be_read_is_not_one_without_keys(tmp_path: Path) -> None:
    (tmp_path / "trust").write_text("a file")
    with pytest.raises(TrustError, match="cannot read the trusted keys"):
        trusted_keys(tmp_path / "trust")


def test_a_removed_key_is_not_trusted(tmp_path: Path) -> None:
    add_key(tmp_path / "trust", new_pub(tmp_path / "site.pub"))
    remove_key(tmp_path / "trust", "site")
    assert trusted_keys(tmp_path / "trust") == ()
    with pytest.raises(UsageError, match="no key 'site' is trusted"):
        remove_key(tmp_path / "trust", "site")


def test_with_the_last_key_the_folder_goes_and_nothing_of_others(tmp_path: Path) -> None:
    folder = tmp_path / "airgap" / "trust"
    for name in ("one", "two"):
        add_key(folder, new_pub(tmp_path / f"{name}.pub"))
    remove_key(folder, "one")
    assert len(trusted_keys(folder)) == 1
    remove_key(folder, "two")
    assert not folder.parent.exists()
    assert tmp_path.exists()


def test_a_key_in_the_bundle_is_refused(tmp_path: Path) -> None:
    medium = tmp_path / "medium"
    key = new_pub(medium / "keys/site.pub")
    (medium / "tool").mkdir()
    (tmp_path / "link.pub").symlink_to(key)
    for path in (key, medium / "tool/../keys/site.pub", tmp_path / "link.pub"):
        with pytest.raises(
            TrustError, match="is on the medium of a bundle that it would prove genuine"
        ):
            refuse_key_in([tmp_path / "other", medium], path)


def test_a_key_in_a_bundle_given_by_a_link_is_refused(tmp_path: Path) -> None:
    key = new_pub(tmp_path / "medium/site.pub")
    (tmp_path / "usb").symlink_to(tmp_path / "medium")
    with pytest.raises(TrustError, match="is on the medium"):
        refuse_key_in([tmp_path / "usb"], key)


def test_a_key_beside_the_bundle_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "medium").mkdir()
    refuse_key_in([tmp_path / "medium"], new_pub(tmp_path / "medium.pub"))


def test_a_key_on_the_root_file_system_is_accepted(tmp_path: Path) -> None:
    if tmp_path.stat().st_dev != os.stat("/").st_dev:  # noqa: PTH116 - a plain number is wanted
        pytest.skip("temporary files are not on the root file system")
    (tmp_path / "bundle").mkdir()
    refuse_key_on_medium([tmp_path / "bundle"], new_pub(tmp_path / "site.pub"))


def test_a_key_on_the_bundles_own_mount_is_refused(tmp_path: Path) -> None:
    with TemporaryDirectory(dir="/dev/shm") as name:  # another mount than that of /
        medium = Path(name)
        (medium / "bundle").mkdir()
        with pytest.raises(TrustError, match="is on the medium"):
            refuse_key_on_medium([medium / "bundle"], new_pub(medium / "site.pub"))
        refuse_key_on_medium([medium / "bundle"], new_pub(tmp_path / "site.pub"))


@pytest.mark.parametrize(
    "marker", ["bundle.json", "BUNDLE.JSON", "images.tar.002", "replay.tar.000"]
)
@pytest.mark.parametrize("place", ["site.pub", "tool/site.pub", "a/b/c/site.pub"])
def test_a_key_inside_or_beside_any_bundle_is_not_added(
    tmp_path: Path, place: str, marker: str
) -> None:
    key = new_pub(tmp_path / "bundle" / place)
    (tmp_path / "bundle" / marker).touch()
    (tmp_path / "link.pub").symlink_to(key)
    (tmp_path / "usb").symlink_to(tmp_path / "bundle")
    for path in (key, tmp_path / "link.pub", tmp_path / "usb" / place):
        with pytest.raises(TrustError, match="is on the medium") as caught:
            add_key(tmp_path / "trust", path)
        assert "airgap trust add" in caught.value.remedy
    assert not (tmp_path / "trust").exists()


def test_a_key_is_added_where_the_first_visit_has_it(tmp_path: Path) -> None:
    """In the folder into which SHA256SUMS and the tool were copied from the medium."""
    key = new_pub(tmp_path / "site.pub")
    for name in ("SHA256SUMS", "SHA256SUMS.sig", "tool/airgap.pyz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert add_key(tmp_path / "trust", key).name == "site"


@pytest.mark.parametrize("bundle", ["", "airgap", "a/b/c/d", ".hidden"])
def test_a_key_on_a_mount_with_a_bundle_is_not_added(tmp_path: Path, bundle: str) -> None:
    with TemporaryDirectory(dir="/dev/shm") as name:  # another mount than that of /
        medium = Path(name)
        key = new_pub(medium / "keys/site.pub")
        add_key(tmp_path / "trust", key)  # a drive with nothing but the key
        (medium / bundle).mkdir(parents=True, exist_ok=True)
        (medium / bundle / "bundle.json").touch()
        with pytest.raises(TrustError, match="is on the medium"):
            add_key(tmp_path / "trust", key, "other")
        (tmp_path / "copy.pub").write_bytes(key.read_bytes())
        add_key(tmp_path / "trust", tmp_path / "copy.pub")


@pytest.mark.parametrize("form", ["wide", "deep"])
def test_a_key_is_not_added_from_a_mount_that_hides_a_bundle_among_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    limits = replace(LIMITS, searched_folders=20)
    monkeypatch.setattr("airgap.trust.folder.LIMITS", limits)
    with TemporaryDirectory(dir="/dev/shm") as name:  # another mount than that of /
        medium = Path(name)
        key = new_pub(medium / "site.pub")
        for number in range(limits.searched_folders):
            folder = medium / "/".join(["d"] * number) if form == "deep" else medium / f"{number}"
            folder.mkdir(exist_ok=True)
        bundle = folder / "z/z"
        bundle.mkdir(parents=True)
        (bundle / "bundle.json").touch()
        with pytest.raises(TrustError, match=r"more than 20 folders|is on the medium") as caught:
            add_key(tmp_path / "trust", key)
        assert "airgap trust add FILE" in caught.value.remedy
    assert not (tmp_path / "trust").exists()


def test_a_key_that_is_missing_is_told_as_missing_wherever_it_should_be(tmp_path: Path) -> None:
    (tmp_path / "bundle.json").touch()
    missing = tmp_path / "absent.pub"
    for refuse in (
        lambda: refuse_key_in([tmp_path], missing),
        lambda: refuse_key_on_medium([tmp_path], missing),
        lambda: add_key(tmp_path / "trust", missing),
    ):
        with pytest.raises(TrustError, match="No such file or directory"):
            refuse()


def test_a_link_that_leads_nowhere_is_told(tmp_path: Path) -> None:
    (tmp_path / "loop.pub").symlink_to(tmp_path / "loop.pub")
    with pytest.raises(TrustError, match="cannot read the key"):
        add_key(tmp_path / "trust", tmp_path / "loop.pub")


def open_folder(trust: Path) -> None:
    trust.chmod(0o777)


def open_to_a_group(trust: Path) -> None:
    trust.chmod(0o775)
    os.chown(trust, -1, OTHER)


def open_with_sticky_bit(trust: Path) -> None:
    trust.chmod(0o1777)


def open_the_folder_above(trust: Path) -> None:
    trust.parent.chmod(0o777)


def open_a_key(trust: Path) -> None:
    (trust / "site.pub").chmod(0o666)


def give_a_key_away(trust: Path) -> None:
    os.chown(trust / "site.pub", OTHER, -1)


def give_the_folder_away(trust: Path) -> None:
    os.chown(trust, OTHER, -1)


def give_the_folder_above_away(trust: Path) -> None:
    os.chown(trust.parent, OTHER, -1)


def link_a_key_to_somebodys(trust: Path) -> None:
    theirs = trust.parents[1] / "theirs"
    theirs.mkdir()
    (trust / "site.pub").rename(theirs / "site.pub")
    os.chown(theirs, OTHER, OTHER)
    (trust / "site.pub").symlink_to(theirs / "site.pub")


def link_the_folder_to_somebodys(trust: Path) -> None:
    theirs = trust.parents[1] / "theirs"
    trust.rename(theirs)
    os.chown(theirs, OTHER, OTHER)
    trust.symlink_to(theirs)


OTHER = 65534
LOOSE = [
    open_folder,
    open_to_a_group,
    open_with_sticky_bit,
    open_the_folder_above,
    open_a_key,
    give_a_key_away,
    give_the_folder_away,
    give_the_folder_above_away,
    link_a_key_to_somebodys,
    link_the_folder_to_somebodys,
]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
@pytest.mark.parametrize("loosen", LOOSE)
def test_keys_that_somebody_else_could_have_put_there_are_not_trusted(
    tmp_path: Path, loosen: Callable[[Path], None]
) -> None:
    trust = tmp_path / "airgap/trust"
    add_key(trust, new_pub(tmp_path / "site.pub"))
    loosen(trust)
    with pytest.raises(TrustError, match="other users can change"):
        trusted_keys(trust)
    with pytest.raises(TrustError, match="other users can change"):
        add_key(trust, new_pub(tmp_path / "more.pub"))
    assert not (trust / "more.pub").exists()


def test_a_pipe_in_the_folder_is_not_waited_for(tmp_path: Path) -> None:
    add_key(tmp_path / "trust", new_pub(tmp_path / "site.pub"))
    os.mkfifo(tmp_path / "trust/pipe.pub")
    with pytest.raises(TrustError, match="it is not a regular file"):
        trusted_keys(tmp_path / "trust")


def test_a_key_that_is_gone_is_told(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    with pytest.raises(TrustError, match="cannot read"):
        refuse_key_on_medium([tmp_path / "bundle"], tmp_path / "absent.pub")


def test_a_medium_that_fails_is_not_taken_for_a_bad_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, medium = new_pub(tmp_path / "site.pub"), tmp_path / "medium"
    stat_of = Path.stat

    def fail(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        if path == medium:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return stat_of(path, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(Path, "stat", fail)
    with pytest.raises(HostError, match="reinsert it"):
        refuse_key_on_medium([medium], key)
