"""References are read as Docker reads them; PyPI's docker-image-py is the second opinion."""

from __future__ import annotations

import re

import pytest
from docker_image.digest import InvalidDigest  # type: ignore[import-untyped]
from docker_image.reference import InvalidReference  # type: ignore[import-untyped]
from docker_image.reference import Reference as OracleReference
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap.errors import UsageError
from airgap.oci.reference import Reference, is_repository, parse_reference

DIGEST = "sha256:" + "0123456789abcdef" * 4
PIECES = [*"a0aA.:/_-", "/", "localhost", "docker.io/", "[::1]", f"@{DIGEST}"]

ACCEPTED = {
    "alpine": "docker.io/library/alpine:latest",
    "alpine:3.20": "docker.io/library/alpine:3.20",
    "moby/buildkit": "docker.io/moby/buildkit:latest",
    "docker.io/alpine": "docker.io/library/alpine:latest",
    "docker.io/library/alpine": "docker.io/library/alpine:latest",
    "index.docker.io/alpine": "docker.io/library/alpine:latest",
    "index.docker.io/a/b/c": "docker.io/a/b/c:latest",
    "index.docker.io:443/x": "index.docker.io:443/x:latest",
    "Index.Docker.io/x": "Index.Docker.io/x:latest",
    "docker.io": "docker.io/library/docker.io:latest",
    "localhost": "docker.io/library/localhost:latest",
    "localhost:5000": "docker.io/library/localhost:5000",
    "localhost/x": "localhost/x:latest",
    "localhost:5000/x:1": "localhost:5000/x:1",
    "LOCALHOST/x": "LOCALHOST/x:latest",
    "Org/x": "Org/x:latest",
    "host:80/x": "host:80/x:latest",
    "ghcr.io/org/app:V1.0_rc-2": "ghcr.io/org/app:V1.0_rc-2",
    "127.0.0.1:5000/a/b": "127.0.0.1:5000/a/b:latest",
    "[::1]:5000/x": "[::1]:5000/x:latest",
    "[2001:db8::A]/x:1": "[2001:db8::A]/x:1",
    "a.b/c.d_e__f---g/h0": "a.b/c.d_e__f---g/h0:latest",
    f"alpine@{DIGEST}": f"docker.io/library/alpine@{DIGEST}",
    f"alpine:3.20@{DIGEST}": f"docker.io/library/alpine:3.20@{DIGEST}",
    f"localhost:5000/x@{DIGEST}": f"localhost:5000/x@{DIGEST}",
    f"x:{'t' * 128}": f"docker.io/library/x:{'t' * 128}",
    f"{'f' * 64}:1": f"docker.io/library/{'f' * 64}:1",
    f"a.b/{'c' * 251}": f"a.b/{'c' * 251}:latest",
}

# Text to what the message must name.
REFUSED = {
    "": "is not a repository",
    "/a": "is not a repository",
    "a/": "'a/' is not a repository",
    "a//b": "'a//b' is not a repository",
    "Alpine": "is not a repository",
    "org/App": "'org/App' is not a repository",
    "host.io/App": "'App' is not a repository",
    "a___b": "is not a repository",
    "a..b": "is not a repository",
    "../etc/passwd": "'..' is not a registry host",
    "host.io/../x": "'../x' is not a repository",
    "-a": "is not a repository",
    "a-": "is not a repository",
    "a b": "is not a repository",
    "alpine\n": "is not a repository",
    "ALPINE\n/x": "is not a registry host",
    "alpiné": "is not a repository",
    "alpine:": "'' is not a tag",
    "alpine:.1": "'.1' is not a tag",
    "alpine:a b": "'a b' is not a tag",
    "alpine:1\n": "is not a tag",
    f"alpine:{'t' * 129}": "is not a tag",
    "alpine@": "'' is not a sha256 digest",
    "alpine@sha256:abc": "'sha256:abc' is not a sha256 digest",
    f"alpine@{DIGEST.upper()}": "is not a sha256 digest",
    f"alpine@{DIGEST}\n": "is not a sha256 digest",
    f"alpine@{DIGEST}@{DIGEST}": "is not a sha256 digest",
    f"@{DIGEST}": "is not a repository",
    f"alpine:@{DIGEST}": "'' is not a tag",
    "a:b/c": "'a:b' is not a registry host",
    "host:1:2/x": "'host:1:2' is not a registry host",
    "-host.io/x": "'-host.io' is not a registry host",
    "under_score.io/x": "'under_score.io' is not a registry host",
    "[::1/x": "'[::1' is not a registry host",
    "[::g]/x": "'[::g]' is not a registry host",
    "https://host.io/x": "'https:' is not a registry host",
    "f" * 64: "image ID",
    "a" * 256: "longer than 255",
}

# Docker's newest reads these; an older one, or a registry, does not.
REFUSED_THOUGH_DOCKER_ACCEPTS = {
    f"a.b/{'c' * 252}": "longer than 255",
    "host.io:123456/x": "'host.io:123456' is not a registry host",
    f"alpine@sha512:{'a' * 128}": "is not a sha256 digest",
}


def oracle(text: str) -> str | None:
    """What docker-image-py makes of a reference, with the tag that `docker pull` adds."""
    try:
        named = OracleReference.parse_normalized_named(text)
    except (InvalidReference, InvalidDigest):
        return None
    plain = not named["tag"] and not named["digest"]
    return str(named.string()) + (":latest" if plain else "")


def ours(text: str) -> str | None:
    try:
        return str(parse_reference(text))
    except UsageError:
        return None


@pytest.mark.parametrize(("text", "full"), ACCEPTED.items())
def test_a_reference_is_normalised(text: str, full: str) -> None:
    assert str(parse_reference(text)) == full


@pytest.mark.parametrize("text", ACCEPTED)
def test_docker_normalises_it_to_the_same(text: str) -> None:
    assert oracle(text) == ACCEPTED[text]


@pytest.mark.parametrize(
    ("text", "why"), [*REFUSED.items(), *REFUSED_THOUGH_DOCKER_ACCEPTS.items()]
)
def test_what_is_no_reference_is_refused_with_the_part_that_is_wrong(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=re.escape(why)) as caught:
        parse_reference(text)
    assert caught.value.message.startswith(f"{text!r} is not an image reference: ")
    assert "alpine:3.20" in caught.value.remedy


# The oracle's Python patterns end in "$", which also matches before a final newline.
@pytest.mark.parametrize("text", [text for text in REFUSED if not text.endswith("\n")])
def test_docker_refuses_it_too(text: str) -> None:
    assert oracle(text) is None


@pytest.mark.parametrize("text", REFUSED_THOUGH_DOCKER_ACCEPTS)
def test_the_stricter_rules_are_ours_alone(text: str) -> None:
    assert oracle(text) is not None


def test_the_fields_are_the_parts_of_the_text() -> None:
    reference = parse_reference(f"localhost:5000/team/app:1.2@{DIGEST}")
    assert reference == Reference("localhost:5000", "team/app", "1.2", DIGEST)
    assert reference.name == "localhost:5000/team/app"


@pytest.mark.parametrize(
    ("text", "target"),
    [("alpine", "latest"), ("alpine:3", "3"), (f"alpine:3@{DIGEST}", DIGEST)],
)
def test_the_target_is_the_digest_or_else_the_tag(text: str, target: str) -> None:
    assert parse_reference(text).target == target


@pytest.mark.parametrize(
    ("text", "familiar"),
    [
        ("docker.io/library/alpine", "alpine:latest"),
        (f"docker.io/library/alpine@{DIGEST}", f"alpine@{DIGEST}"),
        ("docker.io/moby/buildkit:v1", "moby/buildkit:v1"),
        ("ghcr.io/library/alpine:1", "ghcr.io/library/alpine:1"),
        # Shorter, these would be other images.
        ("docker.io/library/a/b", "library/a/b:latest"),
        ("docker.io/localhost/x", "docker.io/localhost/x:latest"),
        ("docker.io/example.com/x", "docker.io/example.com/x:latest"),
        ("docker.io/docker.io/x", "docker.io/docker.io/x:latest"),
        ("docker.io/index.docker.io/x/y", "docker.io/index.docker.io/x/y:latest"),
    ],
)
def test_the_familiar_text_is_what_people_write(text: str, familiar: str) -> None:
    assert parse_reference(text).familiar == familiar


@pytest.mark.parametrize(
    ("text", "yes"),
    [("a", True), ("a/b.c", True), ("", False), ("a/", False), ("A", False), ("a/../b", False)],
)
def test_is_repository_knows_paths(text: str, yes: bool) -> None:
    assert is_repository(text) is yes


def test_a_message_stays_short_whatever_was_given() -> None:
    with pytest.raises(UsageError) as caught:
        parse_reference("x:" + "y" * 1_000_000)
    assert len(str(caught.value)) < 1_000


_word = st.text(alphabet="az09", min_size=1, max_size=3)
_host = st.sampled_from(["docker.io", "index.docker.io", "localhost", "[::1]", "Org", "a-b.C:80"])
_tag = st.text(alphabet="aZ0_", min_size=1, max_size=3)


@st.composite
def references(draw: st.DrawFn) -> str:
    path = draw(_word)
    host = draw(st.one_of(st.just(""), _host))
    # Without a host, a first component with a dot would be one.
    separators = ["_", "__", "-", "---", "/", *([".", "/docker.io/"] if host else [])]
    for separator in draw(st.lists(st.sampled_from(separators), max_size=4)):
        path += separator + draw(_word)
    tag = draw(st.one_of(st.just(""), _tag.map(lambda text: f":{text}")))
    digest = draw(st.sampled_from(["", f"@{DIGEST}"]))
    return f"{host}{'/' if host else ''}{path}{tag}{digest}"


@settings(max_examples=120, deadline=None)
@given(references())
def test_a_reference_survives_being_written_and_read(text: str) -> None:
    reference = parse_reference(text)
    assert parse_reference(str(reference)) == reference
    assert parse_reference(reference.familiar) == reference
    assert str(reference) == oracle(text)


@settings(max_examples=120, deadline=None)
@given(st.one_of(st.text(), st.text(alphabet="aA0.:/_-@[]", max_size=16)))
def test_any_text_is_a_reference_that_survives_or_a_usage_error(text: str) -> None:
    try:
        reference = parse_reference(text)
    except UsageError:
        return
    assert parse_reference(str(reference)) == reference
    assert parse_reference(reference.familiar) == reference


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join))
def test_docker_has_the_same_opinion_of_any_text_made_of_such_pieces(text: str) -> None:
    assert ours(text) == oracle(text)
