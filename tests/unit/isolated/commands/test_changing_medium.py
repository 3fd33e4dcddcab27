"""A medium that answers differently the second time: from any read on, it holds something else."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from airgap.bundle import contents as contents_module
from airgap.bundle import media as media_module
from airgap.bundle.contents import Contents
from airgap.errors import AirgapError, IntegrityError, TrustError
from airgap.isolated.commands.install import InstallOptions, install
from airgap.isolated.host.user import User
from airgap.isolated.state.layout import State
from airgap.oci import manifest
from airgap.oci.digest import digest_of
from airgap.oci.manifest import load_json
from airgap.progress import Progress
from airgap.replay import recording
from airgap.trust.keys import PrivateKey
from tests import forge
from tests.forge import make_bundle, new_key

IMAGE = "docker.io/library/alpine:3.20"


@pytest.fixture(scope="module")
def key() -> PrivateKey:
    return new_key()


class ChangingMedium:
    """A folder whose files all become those of another one, in place, before a certain read.

    Files that are open change too, as on a disk that answers as it likes.

    Args:
        folder: What is read.
        other: What it turns into: a bundle of the same layout.
        reads: How many reads are answered before.
    """

    def __init__(self, folder: Path, other: Path, reads: int) -> None:
        self.folder, self.other, self.left = folder, other, reads

    @property
    def changed(self) -> bool:
        """Whether it came to that."""
        return self.left < 0

    @contextmanager
    def plugged_in(self) -> Iterator[list[str]]:
        """While it is read, by way of `Media.open` and preadv(2).

        Returns:
            Digests of all that a parser was given meanwhile.
        """
        parsed: list[str] = []
        open_beneath, preadv = media_module._open_beneath, os.preadv

        def opened(folder: Path, name: str) -> int:
            self._count()
            return open_beneath(folder, name)

        def read(descriptor: int, buffers: Sequence[memoryview], offset: int) -> int:
            self._count()
            return preadv(descriptor, buffers, offset)

        def parse(body: bytes, what: str, limit: int) -> dict[str, Any]:
            parsed.append(digest_of(body))
            return load_json(body, what, limit)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(media_module, "_open_beneath", opened)
            patch.setattr(os, "preadv", read)
            for module in (contents_module, manifest, recording):
                patch.setattr(module, "load_json", parse)
            yield parsed

    def _count(self) -> None:
        self.left -= 1
        if self.left == -1:
            for path in self.other.rglob("*"):
                if path.is_file():
                    with (self.folder / path.relative_to(self.other)).open("r+b") as file:
                        file.write(path.read_bytes())
                        file.truncate()


def bundle(folder: Path, key: PrivateKey, text: str) -> Contents:
    """A bundle in which layers, answers and tool depend on the text."""
    return make_bundle(
        folder,
        key,
        images=[forge.indexed(IMAGE, texts=[text])],
        recordings=[forge.recorded("app", {"https://x.example/one": text.encode()})],
        tool=text.encode(),
    )


def order(folder: Path, key: PrivateKey) -> InstallOptions:
    return InstallOptions([folder], [key.public], only=("seed", "recordings"))


def brought(root: Path) -> dict[str, bytes]:
    """Every blob that the storages show, by the digest that its place says."""
    found = root.glob("*/**/blobs/*/*/*/data")
    return {f"sha256:{path.parent.name}": path.read_bytes() for path in found}


@pytest.mark.parametrize("genuine", [False, True], ids=["a stranger's", "another of the signer's"])
def test_from_whichever_read_on_it_changes_nothing_of_the_other_bundle_is_used(
    tmp_path: Path, key: PrivateKey, genuine: bool
) -> None:
    """Also of a genuine one: what counts is what was checked in this very run."""
    user = User("nobody", os.getuid(), os.getgid(), tmp_path)
    contents = bundle(tmp_path / "first", key, "good")
    bundle(tmp_path / "other", key if genuine else new_key(), "evil")
    carried = {blob.digest for blob in (*contents.blobs, *contents.replay)}
    documents = carried | {digest_of(contents.to_bytes())}
    ends: set[type[AirgapError]] = set()
    for reads in itertools.count(1):
        folder, state = tmp_path / f"medium-{reads}", State(tmp_path / f"state-{reads}")
        bundle(folder, key, "good")
        medium = ChangingMedium(folder, tmp_path / "other", reads)
        with medium.plugged_in() as parsed:
            try:
                install(state, order(folder, key), user, Progress(), lambda _: None)
            except AirgapError as error:
                ends.add(type(error))
        kept = brought(state.root)
        assert all(digest_of(data) == name for name, data in kept.items())
        assert set(kept) <= carried
        assert set(parsed) <= documents
        if not medium.changed:
            break
    assert set(kept) == carried
    assert len(set(parsed)) > 4
    assert reads > 20
    assert ends == {IntegrityError, TrustError}
