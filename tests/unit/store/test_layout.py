"""The mirror's paths: distribution's layout, and never outside of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap.errors import UsageError
from airgap.oci.reference import parse_reference
from airgap.store import layout

HEX = "ab" + "0" * 62
DIGEST = f"sha256:{HEX}"
ROOT = "docker/registry/v2"
# distribution's grammar of repository names, reference/regexp.go.
REPOSITORY = re.compile(
    r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*"
)


@pytest.mark.parametrize(
    ("path", "expected"),
    [  # as the comment in distribution's registry/storage/paths.go has them
        (layout.blob_data(DIGEST), f"{ROOT}/blobs/sha256/ab/{HEX}/data"),
        (layout.layer_link("a/b", DIGEST), f"{ROOT}/repositories/a/b/_layers/sha256/{HEX}/link"),
        (
            layout.revision_link("a/b", DIGEST),
            f"{ROOT}/repositories/a/b/_manifests/revisions/sha256/{HEX}/link",
        ),
        (
            layout.tag_link("a/b", "1.0"),
            f"{ROOT}/repositories/a/b/_manifests/tags/1.0/current/link",
        ),
        (
            layout.tag_index_link("a/b", "1.0", DIGEST),
            f"{ROOT}/repositories/a/b/_manifests/tags/1.0/index/sha256/{HEX}/link",
        ),
    ],
)
def test_paths_are_those_of_the_registry(path: Path, expected: str) -> None:
    assert path == Path(expected)


@pytest.mark.parametrize(
    ("name", "repositories"),
    [
        ("alpine:3", ("docker.io/library/alpine", "library/alpine")),
        ("org/app:3", ("docker.io/org/app", "org/app")),
        ("ghcr.io/org/app:3", ("ghcr.io/org/app",)),
        ("localhost:5000/app", ("localhost_5000/app",)),
        ("Registry.Example/app", ("registry.example/app",)),
        ("[2001:db8::1]:5000/app:1", ("2001_db8_1_5000/app",)),
        ("[::]/etc:1", ("0/etc",)),
    ],
)
def test_an_image_lies_below_its_upstream_host(name: str, repositories: tuple[str, ...]) -> None:
    assert layout.mirror_repositories(parse_reference(name)) == repositories


HOSTS = st.from_regex(r"(\[[0-9a-fA-F:]{1,6}\]|[a-zA-Z0-9.-]{1,8})(:[0-9]{1,5})?", fullmatch=True)
PATHS = st.from_regex(r"[a-z0-9._/-]{1,12}", fullmatch=True)
TAGS = st.from_regex(r"[A-Za-z0-9_.-]{1,6}", fullmatch=True)


@settings(max_examples=150, deadline=None)
@given(HOSTS, PATHS, TAGS)
def test_no_name_leads_out_of_the_store(host: str, path: str, tag: str) -> None:
    try:
        reference = parse_reference(f"{host}/{path}:{tag}")
    except UsageError:
        return
    for repository in layout.mirror_repositories(reference):
        assert REPOSITORY.fullmatch(repository)
        link = layout.tag_link(repository, reference.tag)
        assert not link.is_absolute()
        assert ".." not in link.parts
        assert str(link).startswith(f"{ROOT}/repositories/{repository}/_manifests/tags/")
