"""The host's trusted keys: one `NAME.pub` each in a folder (`/etc/airgap/trust`)."""

from __future__ import annotations

import os
import pwd
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from airgap.disk import write_atomic
from airgap.errors import HostError, TrustError, UsageError, cannot_read
from airgap.limits import LIMITS
from airgap.ownership import changeable_by_others
from airgap.trust.keys import PublicKey, load_public

# A whole bundle, or a volume of one on several media. SHA256SUMS is no sign of one: it is copied
# to the host, into the folder of the key, before anything is checked.
_OF_A_BUNDLE = re.compile(r"bundle\.json|(images|replay)\.tar\.[0-9]{3,}", re.I)
_ANOTHER_WAY = (
    "compare its fingerprint with one that came another way, copy it to a folder of its own on "
    "this host, then: airgap trust add FILE"
)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def trusted_keys(folder: Path) -> tuple[PublicKey, ...]:
    """Return all keys in the folder, by name; none if there is no folder.

    Raises:
        TrustError: One of them is malformed or weak, or the folder cannot be read, or others than
            root and this user can change it or a key in it.
    """
    try:
        _check_safe(folder)
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".pub")
        for path in paths:
            _check_safe(path)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise TrustError(f"cannot read the trusted keys in {folder}: {error.strerror}") from error
    return tuple(load_public(path) for path in paths)


def _check_safe(path: Path) -> None:
    """Nobody but root and this user may change a key, or put one there.

    Raises:
        TrustError: Somebody can.
        OSError: A part of the path cannot be looked at.
    """
    part = changeable_by_others(path)
    if part is not None:
        raise TrustError(
            f"other users can change {part}",
            meaning=f"Somebody else may have chosen what {path} holds.",
            remedy="compare the fingerprints of all keys there with those that came another way, "
            f"then: chown root {part}; chmod go-w {part}"
            if os.geteuid() == 0
            else "name another folder with --trust-dir, or a key with --trust",
        )


def add_key(folder: Path, source: Path, name: str = "") -> PublicKey:
    """Take a public key into the folder.

    Raises:
        TrustError: The key is malformed or weak, or came with a bundle, or the name has another
            key already, or others can change the folder.
        UsageError: The name cannot be a file's name.
        HostError: The folder cannot be written to.
    """
    refuse_key_with_any_bundle(source)
    key = load_public(source)
    name = name or source.stem
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} cannot name a key", remedy="give a plain one: --name NAME")
    known = {existing.name: existing for existing in trusted_keys(folder)}
    if name in known and known[name].fingerprint != key.fingerprint:
        raise TrustError(
            f"another key is trusted under the name {name!r} already",
            remedy=f"choose another with --name, or remove it first: airgap trust remove {name}",
        )
    try:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        _check_safe(folder)  # somebody may have been quicker, in a folder like /tmp
        write_atomic(folder / f"{name}.pub", key.pem())
    except OSError as error:
        raise HostError(
            f"cannot write to {folder}: {error.strerror}", remedy="run it as root (sudo)"
        ) from error
    return PublicKey(name, key.key)


def remove_key(folder: Path, name: str) -> None:
    """Stop trusting a key.

    Raises:
        UsageError: There is no such key.
        HostError: The folder cannot be written to.
    """
    unknown = UsageError(f"no key {name!r} is trusted", remedy="see airgap trust list")
    if not _NAME.fullmatch(name):
        raise unknown
    try:
        (folder / f"{name}.pub").unlink()
        _remove_if_empty(folder)
    except FileNotFoundError as error:
        raise unknown from error
    except OSError as error:
        raise HostError(f"cannot write to {folder}: {error.strerror}") from error


def _remove_if_empty(folder: Path) -> None:
    """Also the one above it, if that is of our name: where none is, users look into their own."""
    with suppress(OSError):
        folder.rmdir()
        if folder.parent.name == "airgap":
            folder.parent.rmdir()


def refuse_key_in(bundle_folders: Iterable[Path], key: Path) -> None:
    """Trust never comes from the medium: refuses a key inside a bundle's folder.

    Raises:
        TrustError: `key` is inside one, or cannot be read.
    """
    resolved = _resolved(key)
    for folder in bundle_folders:
        if resolved.is_relative_to(_real(folder)):
            raise _from_medium(key)


def refuse_key_on_medium(bundle_folders: Sequence[Path], key: Path) -> None:
    """Refuse a key in a bundle's folder, or on its mount if that is not the root file system.

    Raises:
        TrustError: `key` is there, or cannot be read.
        HostError: A folder cannot be read.
    """
    refuse_key_in(bundle_folders, key)
    media = set()
    for folder in bundle_folders:
        try:
            media.add(folder.stat().st_dev)
        except (FileNotFoundError, NotADirectoryError):
            continue  # somebody else's error to tell
        except OSError as error:
            raise cannot_read(str(folder), error) from error
    if _mount(_resolved(key)).stat().st_dev in media - {_root_device()}:
        raise _from_medium(key)


def refuse_key_with_any_bundle(key: Path) -> None:
    """Refuse a key inside or beside a bundle, or on a mount that has one.

    The file systems of `/` and of this user's home are no such mounts: bundles are copied there.

    Raises:
        TrustError: `key` is there, or cannot be read, or its mount has too many folders to tell.
    """
    if any(_is_bundle(folder) for folder in _resolved(key).parents):
        raise _from_medium(key)
    mount = _mount(_resolved(key))
    if mount.stat().st_dev in _own_devices():
        return
    for number, folder in enumerate(_all_folders(mount)):
        if _is_bundle(folder):
            raise _from_medium(key)
        if number >= LIMITS.searched_folders:
            raise TrustError(
                f"there are more than {LIMITS.searched_folders} folders on {mount}, where the key "
                f"{key} is",
                meaning="airgap did not search them all, so a bundle may be there, too.",
                remedy=_ANOTHER_WAY,
            )


def _is_bundle(folder: Path) -> bool:
    """Return whether a folder has what only bundles have, in whatever case a medium keeps names."""
    try:
        return any(_OF_A_BUNDLE.fullmatch(path.name) for path in folder.iterdir())
    except OSError:
        return False


def _all_folders(mount: Path) -> Iterator[Path]:
    """Yield a mount and all folders below it, but for those on other mounts."""
    device = mount.stat().st_dev
    waiting = [mount]
    while waiting:
        folder = waiting.pop()
        yield folder
        with suppress(OSError):
            for path in folder.iterdir():
                status = path.lstat()
                if stat.S_ISDIR(status.st_mode) and status.st_dev == device:
                    waiting.append(path)


def _resolved(key: Path) -> Path:
    """Return where a key really is.

    Raises:
        TrustError: There is no such file, or it cannot be looked at.
    """
    try:
        return key.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "too many links"
        raise TrustError(f"cannot read the key {key}: {reason}") from error


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _mount(path: Path) -> Path:
    """Return the folder where the file system is mounted that a file is on.

    That of its folder counts: with an overlay, files have devices of their own.
    """
    folder = path if path.is_dir() else path.parent
    device = folder.stat().st_dev
    return [parent for parent in (folder, *folder.parents) if parent.stat().st_dev == device][-1]


def _own_devices() -> set[int]:
    """Return the file systems that are this host's for sure."""
    found = {_root_device()}
    with suppress(KeyError, OSError):
        found.add(Path(pwd.getpwuid(os.geteuid()).pw_dir).stat().st_dev)
    return found


def _root_device() -> int:
    return os.stat("/").st_dev  # noqa: PTH116 - a plain number is wanted


def _from_medium(key: Path) -> TrustError:
    return TrustError(
        f"the key {key} is on the medium of a bundle that it would prove genuine",
        meaning="Whoever changed the bundle could have put it there.",
        remedy=_ANOTHER_WAY,
    )
