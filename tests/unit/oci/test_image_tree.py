"""Trees of indexes: order, depth, what an engine may choose, and what is left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from airgap.errors import IntegrityError
from airgap.limits import LIMITS
from airgap.oci import image_tree
from airgap.oci.image_tree import read_tree
from airgap.oci.manifest import Descriptor, Index, Manifest
from airgap.oci.platform import parse_platform
from tests.trees import INDEX, LAYER, MANIFEST, Fields, Tree, on


@dataclass
class _Holder:
    """Some of the documents and blobs of a tree."""

    made: Tree
    holds: Callable[[Descriptor], bool] = lambda _: True
    read: list[str] = field(default_factory=list)

    def has(self, entry: Descriptor) -> bool:
        return self.holds(entry)

    def document(self, digest: str) -> bytes:
        self.read.append(digest)
        return self.made.documents[digest][1]

    def config(self, config: Descriptor) -> bytes:
        return self.made.blobs[config.digest]


def _read(made: Tree, top: Fields, *left_out: Fields) -> dict[str, Manifest | Index]:
    without = {one["digest"] for one in left_out}
    holder = _Holder(made, lambda entry: entry.digest not in without)
    return read_tree(top["digest"], INDEX, "example", holder)


def _levels(made: Tree, count: int) -> Fields:
    entry = made.image()
    for _ in range(count):
        entry = made.index(entry)
    return entry


def test_each_index_comes_before_all_that_it_names() -> None:
    made = Tree()
    image = made.image()
    inner = made.index(image)
    top = made.index(inner, image, made.index(inner, image), made.image(text="y"), inner)
    found = list(_read(made, top))
    for digest in found:
        document = image_tree.documents_of(digest, _read(made, top))
        assert all(found.index(digest) <= found.index(one) for one in document)
    assert set(found) == made.reached(top["digest"])[0]
    heights = image_tree.heights(_read(made, top))
    assert [heights[one["digest"]] for one in (image, inner, top)] == [0, 1, 3]


def test_as_many_levels_are_read_as_the_limit_says() -> None:
    made = Tree()
    assert _read(made, _levels(made, LIMITS.index_depth))
    with pytest.raises(IntegrityError, match="levels of indexes"):
        _read(made, _levels(made, LIMITS.index_depth + 1))


def test_a_chain_that_its_top_names_at_every_level_is_too_deep_all_the_same() -> None:
    made = Tree()
    chain = [made.image()]
    for _ in range(LIMITS.index_depth + 1):
        chain.append(made.index(*chain))
    with pytest.raises(IntegrityError, match="levels of indexes"):
        _read(made, chain[-1])


def test_indexes_that_name_each_other_often_are_read_once() -> None:
    made = Tree()
    entry = made.image()
    for number in range(LIMITS.index_depth):
        entry = made.index(*[entry] * LIMITS.manifest_entries, annotations={"n": str(number)})
    holder = _Holder(made)
    assert len(read_tree(entry["digest"], INDEX, "example", holder)) == LIMITS.index_depth + 1
    assert len(holder.read) == LIMITS.index_depth + 1


def test_more_documents_than_the_limit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airgap.oci.image_tree.LIMITS", type(LIMITS)(documents=3))
    made = Tree()
    assert _read(made, made.index(made.image(), made.image(text="b")))
    with pytest.raises(IntegrityError, match="more than 3 manifests"):
        _read(made, made.index(*(made.image(text=one) for one in "abc")))
    monkeypatch.setattr("airgap.oci.image_tree.LIMITS", type(LIMITS)(documents_bytes=2_000))
    assert _read(made, made.index(made.image()))
    with pytest.raises(IntegrityError, match="than 2000 bytes"):
        _read(made, made.index(*(made.image(text=one) for one in "abcd")))


def test_one_digest_as_image_and_as_index_is_refused() -> None:
    made = Tree()
    image = made.image()
    with pytest.raises(IntegrityError, match="two media types"):
        _read(made, made.index(image, {**image, "mediaType": INDEX}))
    with pytest.raises(IntegrityError, match="says it is"):
        _read(made, made.index({**image, "mediaType": INDEX}))


def _chosen(made: Tree, top: Fields, platform: str) -> list[str]:
    found = image_tree.best(
        image_tree.entries(top["digest"], _read(made, top)), parse_platform(platform)
    )
    return [one.descriptor.digest for one in found]


def test_stated_platforms_come_before_those_of_configs_as_in_containerd() -> None:
    made = Tree()
    stated, silent = made.image("linux/arm/v6", "s", stated=True), made.image("linux/arm/v7")
    top = made.index(silent, stated)
    assert _chosen(made, top, "linux/arm/v7") == [stated["digest"]]
    assert _chosen(made, made.index(silent), "linux/arm/v7") == [silent["digest"]]


def test_all_that_an_engine_may_take_is_chosen_at_any_depth() -> None:
    made = Tree()
    gzip, zstd, other = (made.image("linux/arm64", one, stated=True) for one in "abc")
    nested = made.index(made.index(zstd), on(other, "linux/arm64/v9"))
    top = made.index(gzip, nested, made.image("linux/amd64"))
    assert _chosen(made, top, "linux/arm64/v8") == [gzip["digest"], zstd["digest"]]
    assert _chosen(made, top, "linux/riscv64") == []


def test_the_best_of_an_index_is_not_replaced_by_what_is_carried_of_it() -> None:
    made = Tree()
    arm64, arm = made.image("linux/arm64", stated=True), made.image("linux/arm/v7", stated=True)
    top = made.index(arm64, arm)
    documents = _read(made, top, arm64)
    assert image_tree.image_for(top["digest"], documents, parse_platform("linux/arm64")) is None
    assert image_tree.image_for(top["digest"], documents, parse_platform("linux/arm/v8"))


def test_an_artifact_is_no_image_for_the_platform_that_its_entry_states() -> None:
    made = Tree()
    artifact, image = made.artifact("application/spdx+json"), made.image(stated=True)
    top = made.index(on(artifact, "linux/amd64"), on(artifact, "linux/arm64"), image)
    documents = _read(made, top)
    amd64, arm64 = parse_platform("linux/amd64"), parse_platform("linux/arm64")
    assert image_tree.image_for(top["digest"], documents, amd64) == documents[image["digest"]]
    assert image_tree.image_for(top["digest"], documents, arm64) is None
    assert image_tree.carried_platforms(top["digest"], documents) == ["linux/amd64"]
    assert image_tree.omitted_platforms(top["digest"], documents, ["linux/amd64"]) == []


def test_left_out_are_the_platforms_that_carried_indexes_state() -> None:
    made = Tree()
    amd64, s390x = made.image(stated=True), made.image("linux/s390x", stated=True)
    inner = made.index(s390x, made.image("linux/arm64", stated=True))
    blob = on(made.blob(b"x", LAYER), "linux/386")
    top = made.index(amd64, on(inner, "linux/mips"), made.attestation(amd64), blob)
    whole = _read(made, top)
    assert image_tree.carried_platforms(top["digest"], whole) == [
        "linux/amd64", "linux/s390x", "linux/arm64",
    ]  # fmt: skip
    carried = image_tree.carried_platforms(top["digest"], whole)
    assert image_tree.omitted_platforms(top["digest"], whole, carried) == []
    part = _read(made, top, s390x, blob)
    carried = image_tree.carried_platforms(top["digest"], part)
    omitted = image_tree.omitted_platforms(top["digest"], part, carried)
    assert omitted == ["linux/386", "linux/s390x"]
    part = _read(made, top, inner)
    omitted = image_tree.omitted_platforms(top["digest"], part, ["linux/amd64"])
    assert omitted == ["linux/mips"]


def test_what_is_about_an_image_goes_with_it() -> None:
    made = Tree()
    amd64, arm64 = made.image(stated=True), made.image("linux/arm64", stated=True)
    about = [made.attestation(one) for one in (amd64, arm64)]
    signature = made.artifact("application/vnd.dev.sigstore.bundle.v0.3+json", subject=amd64)
    of_signature = made.artifact("application/vnd.example.time.v1+json", subject=signature)
    last = made.artifact("application/vnd.example.log.v1+json", subject=of_signature)
    top = made.index(last, of_signature, amd64, arm64, *about, signature)
    found = image_tree.attested(top["digest"], _read(made, top), {amd64["digest"]})
    expected = [about[0], signature, of_signature, last]
    assert found == {one["digest"] for one in expected}


def test_a_config_is_read_only_where_an_index_states_nothing() -> None:
    made = Tree()
    silent, stated = made.image("linux/arm64"), made.image(stated=True)
    top = made.index(silent, stated, made.chart())
    found = _read(made, top)
    platforms = {digest: one.platform for digest, one in found.items() if isinstance(one, Manifest)}
    assert platforms[silent["digest"]] == parse_platform("linux/arm64")
    assert [one for one in platforms.values() if one] == [parse_platform("linux/arm64")]
    assert {one["mediaType"] for one in (silent, stated)} == {MANIFEST}
