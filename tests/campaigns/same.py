"""Whether two bundles of one request are the same: all but what tells the time they were begun."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.integration.command import airgap

_OF_ITS_TIME = ("serial", "created", "files")
"""The framing's times and README.txt follow from `created`, and the hashes in `files` from them."""


def assert_same(bundle: Path, undisturbed: Path, public_key: Path) -> None:
    """Asserts that a bundle is complete, signed, and the same as the undisturbed one.

    Raises:
        AssertionError: It is not; says what differs.
    """
    assert_verifies(bundle, public_key)
    others = set(_names(bundle)) ^ set(_names(undisturbed))
    assert not others, f"in one bundle and not in the other: {sorted(others)}"
    document, wanted = document_of(bundle), document_of(undisturbed)
    assert _timeless(document) == _timeless(wanted), "bundle.json differs"
    tar, wanted_tar = joined_tar(bundle), joined_tar(undisturbed)
    assert len(tar) == len(wanted_tar), "images.tar has another size"
    for blob in document["blobs"]:
        place = slice(blob["offset"], blob["offset"] + blob["size"])
        assert tar[place] == wanted_tar[place], f"{blob['digest']} has other bytes"
    tool = Path("tool", "airgap.pyz")
    assert (bundle / tool).read_bytes() == (undisturbed / tool).read_bytes(), "another tool"


def assert_verifies(bundle: Path, public_key: Path) -> None:
    """Asserts that a bundle is complete and signed."""
    verified = airgap("verify", bundle, "--trust", public_key)
    assert verified.code == 0, verified.err


def assert_unfinished(bundle: Path) -> None:
    """Asserts that nobody can take a folder for a finished bundle."""
    assert not (bundle / "SHA256SUMS").exists(), "an error, and yet there is a SHA256SUMS"


def _names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def document_of(bundle: Path) -> dict[str, Any]:
    """What bundle.json says."""
    document: dict[str, Any] = json.loads((bundle / "bundle.json").read_bytes())
    return document


def _timeless(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in _OF_ITS_TIME}


def joined_tar(bundle: Path) -> bytes:
    """The tar, joined where it lies in volumes."""
    return b"".join(path.read_bytes() for path in sorted(bundle.glob("images.tar*")))
