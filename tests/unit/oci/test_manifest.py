"""Manifests and indexes: what is served is read strictly, whatever it is."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap.errors import IntegrityError, NotFoundError
from airgap.limits import LIMITS
from airgap.oci.manifest import (
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    INDEX_TYPES,
    MANIFEST_TYPES,
    OCI_INDEX,
    OCI_MANIFEST,
    Descriptor,
    Index,
    Manifest,
    config_platform,
    filter_index,
    load_json,
    parse,
    sniffed_type,
)
from airgap.oci.platform import UNKNOWN, Platform, parse_platform

DIGEST = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
CONFIG = "application/vnd.oci.image.config.v1+json"


def descriptor(**fields: object) -> dict[str, object]:
    return {"mediaType": LAYER, "digest": DIGEST, "size": 7} | fields


def manifest(**fields: object) -> bytes:
    document = {"config": descriptor(mediaType=CONFIG), "layers": [descriptor()]}
    return json.dumps(document | fields).encode()


def index(*children: object, **fields: object) -> bytes:
    return json.dumps({"manifests": children} | fields).encode()


def child_of(body: bytes) -> Descriptor:
    document = parse(body, OCI_INDEX, "example")
    assert isinstance(document, Index)
    return document.manifests[0]


@pytest.mark.parametrize("media_type", MANIFEST_TYPES)
def test_a_manifest_has_a_config_and_layers_in_order(media_type: str) -> None:
    body = manifest(
        mediaType=media_type,
        schemaVersion=2,
        layers=[descriptor(digest=OTHER, size=0), descriptor()],
        unknown="is left alone",
    )
    config = Descriptor(CONFIG, DIGEST, 7)
    layers = (Descriptor(LAYER, OTHER, 0), Descriptor(LAYER, DIGEST, 7))
    found = parse(body, media_type, "example")
    assert found == Manifest(media_type, config, layers)
    assert isinstance(found, Manifest)
    assert found.blobs == (config, *layers)


@pytest.mark.parametrize("media_type", INDEX_TYPES)
def test_an_index_has_children_in_order(media_type: str) -> None:
    arm = {"os": "linux", "architecture": "arm64", "variant": "v8"}
    body = index(
        descriptor(mediaType=OCI_MANIFEST, platform=arm, annotations={"a": "b"}),
        descriptor(mediaType=OCI_MANIFEST, digest=OTHER),
        mediaType=media_type,
    )
    assert parse(body, media_type, "example") == Index(
        media_type,
        (
            Descriptor(OCI_MANIFEST, DIGEST, 7, Platform("linux", "arm64"), {"a": "b"}),
            Descriptor(OCI_MANIFEST, OTHER, 7),
        ),
    )


@pytest.mark.parametrize("digest", [f"sha512:{'a' * 128}", f"sha384:{'a' * 96}"])
def test_digests_of_another_kind_are_not_called_damage(digest: str) -> None:
    with pytest.raises(NotFoundError, match="another kind than sha256"):
        parse(manifest(layers=[descriptor(digest=digest)]), OCI_MANIFEST, "example")


@pytest.mark.parametrize("stated", [OCI_MANIFEST, DOCKER_MANIFEST])
@pytest.mark.parametrize("served", [OCI_MANIFEST, DOCKER_MANIFEST])
def test_the_media_type_that_the_body_states_holds(stated: str, served: str) -> None:
    assert parse(manifest(mediaType=stated), served, "example").media_type == stated


@pytest.mark.parametrize("stated", ["", None])
def test_a_media_type_that_is_empty_is_absent_as_in_go(stated: object) -> None:
    assert parse(manifest(mediaType=stated), OCI_MANIFEST, "example").media_type == OCI_MANIFEST
    assert sniffed_type(manifest(mediaType=stated)) == OCI_MANIFEST


def test_a_null_list_is_an_empty_one_as_in_go() -> None:
    found = parse(manifest(layers=None), OCI_MANIFEST, "example")
    assert isinstance(found, Manifest)
    assert found.layers == ()
    body = b'{"manifests": null}'
    assert parse(body, OCI_INDEX, "example") == Index(OCI_INDEX, ())
    assert filter_index(body, {DIGEST}) == body


def test_the_media_type_may_be_absent_from_the_body() -> None:
    assert parse(manifest(), OCI_MANIFEST, "example").media_type == OCI_MANIFEST
    assert parse(index(), OCI_INDEX, "example") == Index(OCI_INDEX, ())


@pytest.mark.parametrize(
    ("body", "media_type", "why"),
    [
        (b"", OCI_MANIFEST, "is not JSON"),
        (b"<html>", OCI_MANIFEST, "is not JSON"),
        (b'{"layers": \xff}', OCI_MANIFEST, "is not JSON"),
        (b"[]", OCI_MANIFEST, "is not a JSON object"),
        (b"null", OCI_INDEX, "is not a JSON object"),
        (b"{}", "text/html", "says it is 'text/html'"),
        (b"{}", OCI_MANIFEST, "has no list 'layers'"),
        (b"{}", OCI_INDEX, "has no list 'manifests'"),
        (index(mediaType=DOCKER_MANIFEST), OCI_INDEX, f"says it is '{DOCKER_MANIFEST}'"),
        (manifest(mediaType="a/b"), OCI_MANIFEST, "says it is 'a/b'"),
        (manifest(artifactType=1), OCI_MANIFEST, "has an artifactType that is not text"),
        (manifest(subject=7), OCI_MANIFEST, "has a descriptor that is not an object"),
        (manifest(mediaType=7), OCI_MANIFEST, "says it is 7"),
        (manifest(mediaType=OCI_INDEX), OCI_INDEX, "has 'config', which"),
        (index(config=descriptor()), OCI_INDEX, "has 'config', which"),
        (index(layers=[descriptor()]), DOCKER_INDEX, "has 'layers', which"),
        (manifest(manifests=[descriptor()]), OCI_MANIFEST, "has 'manifests', which"),
        (manifest(manifests=[descriptor()]), DOCKER_MANIFEST, "has 'manifests', which"),
        (manifest(layers={}), OCI_MANIFEST, "has no list 'layers'"),
        (manifest(layers=["x"]), OCI_MANIFEST, "has a descriptor that is not an object"),
        (manifest(config=None), OCI_MANIFEST, "has a descriptor that is not an object"),
    ],
)
def test_a_body_of_another_kind_is_refused(body: bytes, media_type: str, why: str) -> None:
    with pytest.raises(IntegrityError) as caught:
        parse(body, media_type, "example.com/x:1")
    assert caught.value.message.startswith(f"example.com/x:1 {why}")


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"mediaType": None}, "the media type None"),
        ({"mediaType": "no slash"}, "the media type 'no slash'"),
        ({"mediaType": "a/b\n"}, r"the media type 'a/b\n'"),
        ({"digest": None}, "the digest None"),
        ({"digest": DIGEST.upper()}, "the digest 'SHA256:"),
        ({"digest": "sha256:../../etc/passwd"}, "the digest 'sha256:../../etc/passwd'"),
        ({"size": None}, "the size None"),
        ({"size": -1}, "the size -1"),
        ({"size": 1.0}, "the size 1.0"),
        ({"size": True}, "the size True"),
        ({"size": "7"}, "the size '7'"),
        ({"size": LIMITS.blob_bytes + 1}, f"the size {LIMITS.blob_bytes + 1}"),
        ({"annotations": [1]}, "annotations that are not a mapping"),
        ({"annotations": {"a": 1}}, "annotations that are not a mapping"),
        ({"platform": "linux/arm64"}, "a platform that is not an object"),
        ({"platform": {"os": 1}}, "a platform whose fields are not text"),
        ({"platform": {"architecture": "x", "os.features": "y"}}, "fields are not text"),
        ({"platform": {"architecture": "x", "os.version": 10}}, "fields are not text"),
        ({"urls": "https://x.example"}, "urls that are not a list"),
        ({"urls": [1]}, "urls that are not a list"),
        ({"platform": {"os": "a", "architecture": "\ud800"}}, "half of a surrogate pair"),
    ],
)
def test_a_descriptor_with_a_wrong_field_is_refused(fields: dict[str, object], why: str) -> None:
    for body, media_type in (
        (index(descriptor(**fields)), OCI_INDEX),
        (manifest(layers=[descriptor(), descriptor(**fields)]), OCI_MANIFEST),
        (manifest(config=descriptor(**fields)), OCI_MANIFEST),
    ):
        with pytest.raises(IntegrityError) as caught:
            parse(body, media_type, "example")
        assert why in caught.value.message


@pytest.mark.parametrize(
    "platform",
    [
        *(None, {}, {"os": "", "architecture": ""}, {"os": None, "architecture": None}),
        {"os": "linux"},
    ],
)
def test_a_child_need_not_state_a_platform(platform: object) -> None:
    assert child_of(index(descriptor(platform=platform))).platform is None


def test_a_null_variant_is_an_absent_one() -> None:
    platform = {"os": "linux", "architecture": "amd64", "variant": None}
    assert child_of(index(descriptor(platform=platform))).platform == Platform("linux", "amd64")


def test_an_attestation_says_what_it_is_about() -> None:
    marks = {
        "vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": OTHER,
    }
    unknown = {"os": "unknown", "architecture": "unknown"}
    child = child_of(index(descriptor(annotations=marks, platform=unknown)))
    assert child.attests == OTHER
    assert child.platform == Platform("unknown", "unknown")
    other_type = marks | {"vnd.docker.reference.type": "something"}
    assert child_of(index(descriptor(annotations=other_type))).attests is None
    assert child_of(index(descriptor())).attests is None


def test_limits_hold_to_the_byte_entry_and_level() -> None:
    body = index()
    padded = body.ljust(LIMITS.manifest_bytes)
    assert parse(padded, OCI_INDEX, "example") == parse(body, OCI_INDEX, "example")
    with pytest.raises(IntegrityError, match="is larger than 4194304 bytes"):
        parse(padded + b" ", OCI_INDEX, "example")

    entries = [descriptor()] * LIMITS.manifest_entries
    parse(index(*entries), OCI_INDEX, "example")
    with pytest.raises(IntegrityError, match="at most 1000 entries"):
        parse(index(*entries, descriptor()), OCI_INDEX, "example")

    def nested(levels: int) -> bytes:
        return b'{"a":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"

    assert load_json(nested(LIMITS.json_depth), "example", 1_000)
    with pytest.raises(IntegrityError, match="nested deeper than 32 levels"):
        load_json(nested(LIMITS.json_depth + 1), "example", 1_000)
    with pytest.raises(IntegrityError, match="example is"):
        load_json(nested(200_000), "example", LIMITS.manifest_bytes)


def test_a_number_that_is_too_long_is_an_integrity_error() -> None:
    with pytest.raises(IntegrityError, match="is not JSON"):
        load_json(b'{"size":' + b"9" * 100_000 + b"}", "example", LIMITS.manifest_bytes)


def test_a_message_stays_short_whatever_was_served() -> None:
    with pytest.raises(IntegrityError) as caught:
        parse(index(descriptor(digest="a" * 1_000_000)), OCI_INDEX, "example" * 1_000)
    assert len(str(caught.value)) < 1_000


def test_a_config_states_its_platform() -> None:
    body = json.dumps({"os": "linux", "architecture": "ARM64", "variant": "v8", "rootfs": {}})
    assert config_platform(body.encode(), "example") == Platform("linux", "arm64")


@pytest.mark.parametrize("body", [b"{}", b'{"os": "", "architecture": ""}', b'{"os": "linux"}'])
def test_a_config_need_not_state_a_platform(body: bytes) -> None:
    assert config_platform(body, "example") is None


def test_a_config_without_a_system_is_for_linux_as_in_containerd() -> None:
    body = b'{"architecture": "arm64"}'
    assert config_platform(body, "example") == Platform("linux", "arm64")


@pytest.mark.parametrize("text", ["linux/arm64", "x" * 33, "\x1b[0m", "v8+crypto", "é"])
def test_a_platform_that_nobody_could_ask_for_is_unknown(text: str) -> None:
    for fields in ({"os": text}, {"os": "linux", "variant": text}):
        body = json.dumps({"architecture": "arm64", **fields}).encode()
        assert config_platform(body, "example") == UNKNOWN


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"os": "linux", "architecture": ["arm64"]}', "fields are not text"),
        (b"[]", "is not a JSON object"),
        (b'{"a": "' + b"x" * LIMITS.config_bytes + b'"}', "is larger than"),
    ],
)
def test_a_config_without_a_usable_platform_is_refused(body: bytes, why: str) -> None:
    with pytest.raises(IntegrityError, match=r"^example ") as caught:
        config_platform(body, "example")
    assert why in caught.value.message


_json = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=8),
        st.sampled_from([DIGEST, LAYER, OCI_INDEX, OCI_MANIFEST, "linux", "arm64"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(
                st.text(max_size=3), st.sampled_from(["os", "architecture", "digest", "size"])
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=8,
)
_descriptor = st.one_of(
    _json,
    st.fixed_dictionaries(
        {
            "mediaType": st.one_of(st.just(LAYER), _json),
            "digest": st.one_of(st.just(DIGEST), _json),
            "size": st.one_of(st.just(7), _json),
        },
        optional={
            "platform": st.one_of(
                _json, st.fixed_dictionaries({"os": st.text(), "architecture": st.text()})
            ),
            "annotations": _json,
        },
    ),
)
_document = st.one_of(
    _json,
    st.fixed_dictionaries({"manifests": st.one_of(_json, st.lists(_descriptor, max_size=3))}),
    st.fixed_dictionaries(
        {"config": _descriptor, "layers": st.one_of(_json, st.lists(_descriptor, max_size=3))},
        optional={"mediaType": st.sampled_from([*MANIFEST_TYPES, *INDEX_TYPES])},
    ),
)
_media_type = st.sampled_from([*MANIFEST_TYPES, *INDEX_TYPES, "text/html"])


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=64), _media_type)
def test_any_bytes_are_read_or_an_integrity_error(body: bytes, media_type: str) -> None:
    with pytest.raises(IntegrityError, match=r"^example "):
        parse(body, media_type, "example")


@settings(max_examples=150, deadline=None)
@given(_document, _media_type)
def test_any_json_is_read_or_an_integrity_error(document: object, media_type: str) -> None:
    try:
        found = parse(json.dumps(document).encode(), media_type, "example")
    except IntegrityError as error:
        assert error.message.startswith("example ")
        return
    assert found.media_type in MANIFEST_TYPES + INDEX_TYPES
    assert (found.media_type in INDEX_TYPES) is (media_type in INDEX_TYPES)
    pointers = found.blobs if isinstance(found, Manifest) else found.manifests
    # Whatever was accepted can be written into a bundle's contents and be read back.
    for pointer in pointers:
        if pointer.platform:
            assert parse_platform(str(pointer.platform)) == pointer.platform.plain


@settings(max_examples=100, deadline=None)
@given(st.one_of(_json, st.fixed_dictionaries({"os": st.text(), "architecture": st.text()})))
def test_any_config_states_a_platform_or_is_an_integrity_error(document: object) -> None:
    try:
        platform = config_platform(json.dumps(document).encode(), "example")
    except IntegrityError:
        return
    assert platform is None or parse_platform(str(platform)) == platform.plain
