"""The host's trusted keys: one `NAME.pub` each in a folder (`/etc/airgap/trust`)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from airgap.disk import write_whole
from airgap.errors import HostError, TrustError, UsageError, unreadable
from airgap.trust.keys import PublicKey, load_public

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def trusted_keys(folder: Path) -> tuple[PublicKey, ...]:
    """All keys in the folder, by name; none if there is no folder.

    Raises:
        TrustError: One of them is malformed or weak, or the folder cannot be read.
    """
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".pub")
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise TrustError(f"cannot read the trusted keys in {folder}: {error.strerror}") from error
    return tuple(load_public(path) for path in paths)


def add_key(folder: Path, source: Path, name: str = "") -> PublicKey:
    """Takes a public key into the folder.

    Raises:
        TrustError: The key is malformed or weak, or the name has another key already.
        UsageError: The name cannot be a file's name.
        HostError: The folder cannot be written to.
    """
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
        write_whole(folder / f"{name}.pub", key.pem())
    except OSError as error:
        raise HostError(
            f"cannot write to {folder}: {error.strerror}", remedy="run it as root (sudo)"
        ) from error
    return PublicKey(name, key.key)


def remove_key(folder: Path, name: str) -> None:
    """Stops trusting a key.

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
        TrustError: `key` lies there.
    """
    resolved = _resolved(key)
    for folder in bundle_folders:
        if resolved.is_relative_to(_resolved(folder)):
            raise _from_medium(key)


def refuse_key_on_medium(bundle_folders: Sequence[Path], key: Path) -> None:
    """Refuses a key in a bundle's folder, or on its mount if that is not the root file system.

    Raises:
        TrustError: `key` lies there, or cannot be read.
        HostError: A folder cannot be read.
    """
    refuse_key_in(bundle_folders, key)
    try:
        device = _resolved(key).stat().st_dev
        root = os.stat("/").st_dev  # noqa: PTH116 - a plain number is wanted
    except OSError as error:
        raise TrustError(f"cannot read {error.filename}: {error.strerror}") from error
    media = set()
    for folder in bundle_folders:
        try:
            media.add(folder.stat().st_dev)
        except (FileNotFoundError, NotADirectoryError):
            continue  # somebody else's error to tell
        except OSError as error:
            raise unreadable(str(folder), error) from error
    if device in media and device != root:
        raise _from_medium(key)


def _resolved(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _from_medium(key: Path) -> TrustError:
    return TrustError(
        f"the key {key} lies on the medium that it would vouch for",
        meaning="Whoever changed the bundle could have put it there.",
        remedy="compare its fingerprint with one that came another way, copy it to this host, "
        "then: airgap trust add FILE",
    )
