from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from airgap.builder.engine import Engine
from airgap.bundle.contents import TOOL_NAME, Contents, FileEntry
from airgap.errors import UpstreamError, UsageError
from airgap.isolated.context import Context, Options
from airgap.isolated.host.user import User
from airgap.isolated.services import containers, site_registry
from airgap.isolated.services.image_pusher import check_tag_collisions, plan
from airgap.isolated.services.site_registry import (
    RegistryMirror,
    choose,
    given_ca,
    kept_here,
    known_mirrors,
    read_ca,
)
from airgap.isolated.state.changes import Changes
from airgap.isolated.state.layout import State
from airgap.isolated.state.settings import HostSettings
from airgap.limits import LIMITS
from airgap.oci.digest import digest_of
from airgap.oci.manifest import filter_index
from airgap.progress import Progress
from airgap.store.bundle_set import BundleSet
from tests import forge

HARBOR = "harbor.example.internal:5443/mirror"
CHOSEN = HostSettings(
    registry_mirror=HARBOR, registry_mirror_ca="/state/config/x.crt", rewrite_indexes=True
)


def work_with(root: Path, *images: forge.Image, settings: HostSettings) -> Context:
    """What steps of a host with these images work with."""
    files = (FileEntry("images.tar", 0, "0" * 64), FileEntry(TOOL_NAME, 1, "1" * 64))
    entries = tuple(image.entry for image in images)
    contents = Contents("one", 1, forge.CREATED, "", "1", ("linux/amd64",), entries, (), files)
    state = State(root)
    root.mkdir(exist_ok=True)
    return Context(
        state=state,
        desired=BundleSet.of([contents]),
        settings=settings,
        engine=Engine(root),
        user=User("nobody", 0, 0, root),
        changes=Changes(state),
        progress=Progress(),
    )


def test_a_registry_is_an_address_and_a_path() -> None:
    mirror = RegistryMirror.of(CHOSEN)
    assert mirror == RegistryMirror(
        "harbor.example.internal:5443", "mirror", Path("/state/config/x.crt")
    )
    assert str(mirror) == HARBOR
    image = forge.single("alpine:3".replace("alpine", "docker.io/library/alpine")).entry
    assert mirror.repository(image) == "mirror/docker.io/library/alpine"
    bare = RegistryMirror.of(HostSettings(registry_mirror="harbor.example.internal"))
    assert bare is not None
    assert (str(bare), bare.ca) == ("harbor.example.internal", None)
    assert bare.repository(image) == "docker.io/library/alpine"
    assert RegistryMirror.of(HostSettings()) is None


def test_the_choice_of_a_registry_is_kept_and_replaced_whole() -> None:
    assert choose(CHOSEN, "", own_mirror=False, rewrite=None) == CHOSEN
    assert choose(CHOSEN, HARBOR, own_mirror=False, rewrite=None) == CHOSEN
    other = choose(CHOSEN, "other.example/x", own_mirror=False, rewrite=None)
    assert other == HostSettings(registry_mirror="other.example/x")
    assert choose(CHOSEN, "", own_mirror=True, rewrite=None) == HostSettings()
    kept = choose(CHOSEN, HARBOR, own_mirror=False, rewrite=False)
    assert kept == replace(CHOSEN, rewrite_indexes=False)
    with pytest.raises(UsageError, match="exclude each other"):
        choose(CHOSEN, HARBOR, own_mirror=True, rewrite=None)


@pytest.mark.parametrize("text", ["https://x.example", "x.example/", "x.example/A", "-x", "x:y/z"])
def test_what_is_no_registry_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a registry"):
        choose(HostSettings(), text, own_mirror=False, rewrite=None)


def test_settings_of_before_there_were_registries_are_read(tmp_path: Path) -> None:
    old = {"mirror_port": 6001, "registry_port": 5000, "site_registries": []}
    (tmp_path / "settings.json").write_text(json.dumps(old))
    assert State(tmp_path).settings() == HostSettings(mirror_port=6001)
    State(tmp_path).save_settings(CHOSEN)
    assert State(tmp_path).settings() == CHOSEN


def test_an_authority_is_read_checked_and_kept(tmp_path: Path) -> None:
    pem, path = trustme.CA().cert_pem.bytes(), tmp_path / "ca.pem"
    path.write_bytes(pem)
    assert read_ca(path) == pem
    with given_ca(State(tmp_path), HostSettings(registry_mirror=HARBOR), pem) as settings:
        kept = Path(settings.registry_mirror_ca)
    assert kept == tmp_path / "config" / "harbor.example.internal_5443.crt"
    assert kept.read_bytes() == pem
    none = given_ca(State(tmp_path), HostSettings(), pem)
    with pytest.raises(UsageError, match="CA behind a registry"):
        none.__enter__()


@pytest.mark.parametrize("before", [b"", b"the one before"])
def test_an_authority_that_does_not_hold_takes_the_place_of_none(
    tmp_path: Path, before: bytes
) -> None:
    state, settings = State(tmp_path), HostSettings(registry_mirror=HARBOR)
    path = tmp_path / "config" / "harbor.example.internal_5443.crt"
    with given_ca(state, settings, before) as unchanged:
        assert path.exists() == bool(before)
    assert (unchanged == settings) == (not before)
    with pytest.raises(UpstreamError), given_ca(state, settings, b"another"):
        assert path.read_bytes() == b"another"
        raise UpstreamError("it does not hold")
    assert (path.read_bytes() if before else path.exists()) == (before or False)


@pytest.mark.parametrize("data", [b"", b"\x30\x82", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_what_is_no_authority_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "ca.pem").write_bytes(data)
    with pytest.raises(UsageError, match="no certificate in PEM form"):
        read_ca(tmp_path / "ca.pem")


def test_an_authority_that_is_too_large_or_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(bytes(LIMITS.ca_bytes + 1))
    with pytest.raises(UsageError, match="is larger than"):
        read_ca(tmp_path / "ca.pem")
    with pytest.raises(UsageError, match="cannot read"):
        read_ca(tmp_path / "none.pem")


def test_builders_are_sent_to_the_registry_with_its_authority(tmp_path: Path) -> None:
    settings = replace(CHOSEN, registry_mirror_ca=str(tmp_path / "harbor.crt"))
    context = work_with(tmp_path, forge.single("ghcr.io/org/app:1"), settings=settings)
    sections = tomllib.loads(containers.config_text(context, containers.BUILDER))["registry"]
    assert sections["ghcr.io"] == {"mirrors": [f"{HARBOR}/ghcr.io"]}
    assert sections["harbor.example.internal:5443"] == {
        "http": False,
        "ca": ["/etc/airgap/ca/harbor.crt"],
    }
    # buildx copies what the defaults of users name from the host.
    assert containers.mirror_servers(context)[0].ca == settings.registry_mirror_ca


def test_without_an_authority_builders_know_those_of_this_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site_registry, "host_ca", lambda: Path("/etc/ssl/all.pem"))
    mirror = RegistryMirror.called(HARBOR, None)
    assert mirror.as_engines_reach_it().ca == "/etc/ssl/all.pem"
    local = RegistryMirror.called("127.0.0.1:5443/mirror", None).as_engines_reach_it()
    assert (local.http, local.ca) == (True, "")


def test_only_what_docker_must_have_is_kept_here(tmp_path: Path) -> None:
    registry = forge.single("docker.io/library/registry:3", roles=["registry"])
    frontend = forge.single("docker.io/docker/dockerfile:1", roles=["frontend"])
    base, loaded = (forge.single(f"docker.io/library/{name}:1") for name in ("base", "loaded"))
    images = (registry, frontend, base, loaded)
    context = work_with(tmp_path, *images, settings=CHOSEN)
    for noted in ("kept=loaded:1", "loaded:1", loaded.entry.digest):
        context.changes.add("load", noted)
    asked = replace(context, options=Options(load=("base:1",)))
    assert kept_here(context) == [registry.entry, loaded.entry]
    assert kept_here(asked) == [registry.entry, base.entry, loaded.entry]
    own = work_with(tmp_path, *images, settings=HostSettings())
    assert kept_here(own) == [image.entry for image in images]


def test_registries_that_held_the_mirror_before_are_known(tmp_path: Path) -> None:
    context = work_with(tmp_path, forge.single("ghcr.io/org/app:1"), settings=HostSettings())
    assert known_mirrors(context) == []
    for name in ("old.example", HARBOR):
        context.changes.add("push", name)
    with given_ca(context.state, HostSettings(registry_mirror=HARBOR), b"pem"):
        pass
    assert list(map(str, known_mirrors(context))) == [HARBOR, "old.example"]
    authorities = [mirror.ca for mirror in known_mirrors(context)]
    assert authorities == [context.state.config / "harbor.example.internal_5443.crt", None]


SPARSE = forge.indexed("ghcr.io/org/app:1", ["linux/arm64"], omitted=["linux/amd64"])


def test_an_index_is_kept_or_names_only_what_is_carried() -> None:
    body, carried = SPARSE.bodies[SPARSE.entry.digest], SPARSE.documents
    kept = plan(SPARSE.entry, carried, body, "mirror/ghcr.io/org/app", rewrite=False)
    assert (kept.digest, kept.left_out) == (SPARSE.entry.digest, 1)
    rewritten = plan(SPARSE.entry, carried, body, "mirror/ghcr.io/org/app", rewrite=True)
    assert rewritten.left_out == 0
    assert rewritten.digest != SPARSE.entry.digest
    named = [entry["digest"] for entry in json.loads(rewritten.body)["manifests"]]
    assert named == [child.digest for child in kept.children] == [*carried][1:]
    assert rewritten.children == kept.children
    assert {blob.digest for blob in kept.blobs} == set(SPARSE.blobs)


def test_an_index_of_which_all_is_carried_is_never_rewritten() -> None:
    whole = forge.indexed("ghcr.io/org/app:1")
    body = whole.bodies[whole.entry.digest]
    assert plan(whole.entry, whole.documents, body, "x", rewrite=True).body == body
    odd = b' {"manifests" : [ ] , "annotations": {"\\ud800": "x"}}'
    assert filter_index(odd, []) == odd


def test_a_rewritten_index_keeps_all_else_and_is_the_same_each_time() -> None:
    entries = [{"digest": "a", "x": 1.5}, {"digest": "b", "annotations": {"é": "\ud800"}}]
    document = {"annotations": {"é": "1"}, "manifests": entries, "subject": {"digest": "c"}}
    body = json.dumps(document, indent=2).encode()
    first = filter_index(body, ["b"])
    assert json.loads(first) == {**document, "manifests": entries[1:]}
    assert digest_of(first) == digest_of(filter_index(body, {"b": None}))
    assert filter_index(first, ["b"]) == first


def test_two_images_with_one_name_in_the_registry_are_refused() -> None:
    names = ("localhost:5000/app:1", "localhost_5000/app:1")
    images = [forge.single(name, texts=[name]) for name in (names[0], "docker.io/lab/app:1")]
    targets = [
        plan(image.entry, image.documents, image.bodies[image.entry.digest], "x", rewrite=False)
        for image in images
    ]
    with pytest.raises(Exception, match="would both be x"):
        check_tag_collisions(targets)
    check_tag_collisions(targets[:1] * 2)


FLAT = HostSettings(registry_mirror=f"{HARBOR}#flat")


def test_a_flat_layout_has_no_upstream_hosts_in_its_paths() -> None:
    mirror = RegistryMirror.of(FLAT)
    assert mirror is not None
    assert str(mirror) == HARBOR
    for name, path in {"alpine:1": "library/alpine", "ghcr.io/org/app:1": "org/app"}.items():
        assert mirror.repository(forge.single(name).entry) == f"mirror/{path}"
    server = mirror.as_engines_reach_it()
    assert {server.mirrored(host) for host in ("docker.io", "ghcr.io")} == {HARBOR}


def test_a_flat_registry_may_have_no_path() -> None:
    mirror = RegistryMirror.called("registry.example#flat", None)
    assert mirror.repository(forge.single("alpine:1").entry) == "library/alpine"
    assert mirror.as_engines_reach_it().mirrored("docker.io") == "registry.example"


@pytest.mark.parametrize(
    ("before", "registry", "layout", "after"),
    [
        ("", "a.example/x", "flat", "a.example/x#flat"),
        ("", "a.example/x", "nested", "a.example/x"),
        ("a.example/x#flat", "", "", "a.example/x#flat"),
        ("a.example/x#flat", "a.example/x", "", "a.example/x#flat"),
        ("a.example/x#flat", "b.example/x", "", "b.example/x"),
        ("a.example/x#flat", "", "nested", "a.example/x"),
        ("a.example/x", "", "flat", "a.example/x#flat"),
    ],
)
def test_a_layout_is_kept_for_its_registry_alone(
    before: str, registry: str, layout: str, after: str
) -> None:
    settings = HostSettings(registry_mirror=before, registry_mirror_ca="/ca")
    chosen = choose(settings, registry, layout, own_mirror=False, rewrite=None)
    assert chosen.registry_mirror == after
    same = registry in ("", before.removesuffix("#flat"))
    assert chosen.registry_mirror_ca == ("/ca" if same else "")


def test_a_layout_is_that_of_a_registry() -> None:
    for own in (False, True):
        with pytest.raises(UsageError, match="--registry-layout"):
            choose(HostSettings(), "", "flat", own_mirror=own, rewrite=None)


def test_two_hosts_are_not_mixed_in_a_flat_layout(tmp_path: Path) -> None:
    images = [forge.single(f"{host}/x/y:{host}", texts=[host]) for host in ("docker.io", "ghcr.io")]
    with pytest.raises(UsageError, match="would both be mirror/x/y"):
        site_registry.check_reached(work_with(tmp_path / "a", *images, settings=FLAT))
