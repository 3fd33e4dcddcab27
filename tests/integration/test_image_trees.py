"""Images of every shape: bundled, verified, installed, pushed, and read by tools of others."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airgap.bundle.contents import ImageEntry, parse_contents
from airgap.isolated.commands.load_context import load_context
from airgap.isolated.host.user import User
from airgap.isolated.state.layout import State
from airgap.isolated.steps.base import check_step
from airgap.isolated.steps.push import PushStep
from airgap.oci.platform import parse_platform
from airgap.progress import Progress
from airgap.store.export import export
from airgap.store.prune import find_garbage
from airgap.store.store import Store
from lab.parts import program
from lab.run import run
from lab.upstream import Upstream
from tests.integration.command import Outcome, airgap
from tests.integration.engine_root import EngineRoot
from tests.integration.site import Page, Site
from tests.trees import CONFIG, DOCKER_MANIFEST, FOREIGN, LAYER, MANIFEST, ZSTD, Fields, Tree, on

_REPOSITORY = "lab/app"
_ALL = ("--all-platforms",)
_FOLDERS = count(1)


@dataclass(frozen=True, slots=True)
class Way:
    """The way of images: bundle, verify, install.

    Attributes:
        key: Signs.
        folder: For bundle, state and all else.
        site: Stands for the registry.
    """

    key: Path
    folder: Path
    site: Site

    @property
    def store(self) -> Path:
        return self.folder / "state" / "mirror"

    @property
    def repository(self) -> Path:
        """The image's place in the mirror's storage."""
        host = self.site.address.replace(":", "_")
        return self.store / "docker/registry/v2/repositories" / host / _REPOSITORY

    def serve(self, tree: Tree) -> None:
        """What the registry has from now on."""
        pages = tree.answers(_REPOSITORY).items()
        self.site.pages = {
            path: Page(body, headers={"Content-Type": kind}) for path, (kind, body) in pages
        }

    def bundle(self, *options: str, names: tuple[str, ...] = (":1",)) -> Outcome:
        wanted = [f"{self.site.address}/{_REPOSITORY}{name}" for name in names]
        shutil.rmtree(self.folder / "bundle", ignore_errors=True)
        return airgap(
            "bundle", *wanted, *options, "--no-roles", "--retry-for", "1", "--key", self.key,
            "-o", self.folder / "bundle",
        )  # fmt: skip

    def install(self, *options: str | Path) -> None:
        """Verifies the bundle and installs it, which both succeed."""
        trust = ("--trust", self.key.with_suffix(".pub"))
        verified = airgap("verify", self.folder / "bundle", *trust)
        assert verified.code == 0, verified.err
        done = airgap(
            "--root", self.folder / "state", "install", self.folder / "bundle", *trust,
            *(options or ("--only", "seed")),
        )  # fmt: skip
        assert done.code == 0, done.err

    @property
    def entry(self) -> ImageEntry:
        """What the bundle says of its first image."""
        return parse_contents((self.folder / "bundle" / "bundle.json").read_bytes()).images[0]

    def lacks(self, documents: set[str], blobs: set[str]) -> set[str]:
        """Those digests that the mirror would not serve, or not with the right bytes."""
        places = {one: f"_manifests/revisions/sha256/{one[7:]}/link" for one in documents}
        places |= {one: f"_layers/sha256/{one[7:]}/link" for one in blobs}
        return {
            one
            for one, place in places.items()
            if not (self.repository / place).is_file() or not self._is_whole(one)
        }

    def _is_whole(self, digest: str) -> bool:
        data = self.store / f"docker/registry/v2/blobs/sha256/{digest[7:9]}/{digest[7:]}/data"
        return data.is_file() and hashlib.sha256(data.read_bytes()).hexdigest() == digest[7:]


@pytest.fixture
def way(key: Path, tmp_path: Path) -> Iterator[Way]:
    with Site({}) as site:
        yield Way(key, tmp_path, site)


_PLATFORMS = ("linux/amd64", "linux/arm64", "linux/arm/v6", "linux/arm64/v8", "windows/amd64")
Make = Callable[[Tree], Fields]


def _leaf(draw: st.DrawFn) -> Make:
    platform, text = draw(st.sampled_from(_PLATFORMS)), draw(st.sampled_from("abc"))
    stated = draw(st.booleans())
    kinds: dict[str, Make] = {
        "image": lambda tree: tree.image(platform, text, stated=stated),
        "zstd": lambda tree: tree.image(platform, text, kind=ZSTD, stated=stated),
        "nameless": lambda tree: tree.image(platform, text, config={}, stated=stated),
        "chart": lambda tree: tree.chart(),
        "artifact": lambda tree: tree.artifact("application/spdx+json", text.encode()),
        "blob": lambda tree: tree.blob(text.encode(), LAYER),
        "attestation": lambda tree: tree.attestation(tree.image(platform, text)),
    }
    return kinds[draw(st.sampled_from(sorted(kinds)))]


@st.composite
def _entries(draw: st.DrawFn, levels: int = 3) -> Make:
    """An entry of an index: anything, or a further index."""
    if levels == 0 or draw(st.integers(0, 2)) > 0:
        return _leaf(draw)
    inner = draw(st.lists(_entries(levels - 1), max_size=4))
    platform = draw(st.sampled_from((None, *_PLATFORMS)))

    def make(tree: Tree) -> Fields:
        made = [one(tree) for one in inner]
        index = tree.index(*made, *made[:1])  # one of them twice
        return on(index, platform) if platform else index

    return make


_trees = st.lists(_entries(), max_size=4)
_few = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def _made(makers: list[Make]) -> tuple[Tree, str]:
    tree = Tree()
    return tree, tree.tag("1", tree.index(*(make(tree) for make in makers)))


def _fresh(way: Way) -> Way:
    return Way(way.key, way.folder / str(next(_FOLDERS)), way.site)


@_few
@given(_trees)
def test_all_that_an_index_reaches_is_carried_with_all_platforms(
    way: Way, makers: list[Make]
) -> None:
    tree, top = _made(makers)
    here = _fresh(way)
    here.serve(tree)
    outcome = here.bundle(*_ALL)
    documents, blobs = tree.reached(top)
    if not blobs:
        assert outcome.code == 3, outcome
        return
    assert outcome.code == 0, outcome.err
    assert here.entry.omitted == ()
    here.install()
    assert here.lacks(documents, blobs) == set()


@_few
@given(_trees, st.sampled_from(("linux/amd64", "linux/arm64", "linux/arm/v7")))
def test_a_selection_is_whole_or_refused(way: Way, makers: list[Make], platform: str) -> None:
    tree, top = _made(makers)
    here = _fresh(way)
    here.serve(tree)
    outcome = here.bundle("--platform", platform)
    if outcome.code == 3:
        assert "is not" in outcome.err
        return
    assert outcome.code == 0, outcome.err
    assert here.entry.platforms
    assert set(here.entry.platforms).isdisjoint(here.entry.omitted)
    here.install()
    images = {one for one in tree.reached(top)[0] if here.lacks({one}, set()) == set()}
    assert images > {top}
    for one in images:
        kind, _ = tree.documents[one]
        if kind == MANIFEST:
            assert here.lacks({one}, tree.reached(one)[1]) == set()


def _nested(tree: Tree) -> Fields:
    """As on ghcr.io: an index for each platform, with an attestation; one entry states nothing."""
    inner = []
    for platform in ("linux/amd64", "linux/arm64"):
        image = tree.image(platform, platform)
        inner.append(on(tree.index(on(image, platform), tree.attestation(image)), platform))
    return tree.index(*inner, tree.image("linux/arm/v6", "6"), tree.chart())


def test_a_nested_index_is_served_by_a_real_registry_to_crane(way: Way) -> None:
    tree = Tree()
    top = tree.tag("1", _nested(tree))
    way.serve(tree)
    assert way.bundle(*_ALL).code == 0
    way.install()
    with Upstream(way.store) as mirror:
        name = f"{mirror.address}/{way.site.address.replace(':', '_')}/{_REPOSITORY}"
        crane = program("crane")
        assert run([crane, "digest", f"{name}:1"]).strip() == top
        for digest in tree.reached(top)[0]:
            assert (
                run([crane, "manifest", f"{name}@{digest}"]).encode() == tree.documents[digest][1]
            )
        run([crane, "pull", "--format", "oci", f"{name}:1", way.folder / "layout"])
    pulled = {path.name for path in (way.folder / "layout" / "blobs/sha256").iterdir()}
    documents, blobs = tree.reached(top)
    assert {one.removeprefix("sha256:") for one in documents | blobs} <= pulled


def test_nothing_of_a_nested_index_is_surplus_and_all_of_it_can_be_exported(way: Way) -> None:
    tree = Tree()
    top = tree.tag("1", tree.index(_nested(tree), tree.blob(b"blob", LAYER)))
    way.serve(tree)
    assert way.bundle(*_ALL).code == 0
    way.install()
    store = Store(way.store)
    found = find_garbage(store, [way.entry])
    assert (found.links, found.blobs) == ([], [])
    documents, blobs = tree.reached(top)
    tar = b"".join(export(store, way.entry, ["linux/arm64"]))
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        names = {name.rpartition("/")[2] for name in archive.getnames()}
    assert {one.removeprefix("sha256:") for one in documents | blobs} <= names


def test_a_registry_that_has_all_is_not_pushed_to_again(way: Way) -> None:
    tree = Tree()
    tree.tag("1", tree.index(_nested(tree), tree.blob(b"blob", LAYER)))
    way.serve(tree)
    assert way.bundle(*_ALL).code == 0
    with Upstream(writable=True, sparse=True) as theirs:
        registry = ("--registry", f"{theirs.address}/mirror", "--rewrite-indexes")
        way.install("--only", "push,seed", *registry)
        state = State(way.folder / "state")
        found = check_step(
            PushStep(),
            load_context(state, User.behind_this_process(), Progress(), unfinished=True),
        )
    assert (found.ok, "rewritten" in found.detail) == (True, False), found


@pytest.mark.parametrize("options", [(), ("--rewrite-indexes",)])
def test_a_nested_index_is_pushed_children_first(way: Way, options: tuple[str, ...]) -> None:
    tree = Tree()
    top = tree.tag("1", _nested(tree))
    way.serve(tree)
    assert way.bundle(*(() if options else _ALL), "--platform", "linux/arm64").code == 0
    with Upstream(writable=True) as theirs:
        way.install("--only", "push", "--registry", f"{theirs.address}/mirror", *options)
        name = f"{theirs.address}/mirror/{way.site.address.replace(':', '_')}/{_REPOSITORY}:1"
        run([program("crane"), "pull", "--format", "oci", name, way.folder / "layout"])
        digest = run([program("crane"), "digest", name]).strip()
        shown = json.loads(run([program("crane"), "manifest", name]))
    assert (digest == top) is not bool(options)
    if options:
        assert [one["platform"]["architecture"] for one in shown["manifests"]] == ["arm64"]


def _wrong_platform(outcome: Outcome) -> None:
    assert outcome.code == 3, outcome
    assert "is not made for linux/arm64" in outcome.err


def test_platforms_of_configs_count_where_an_index_states_none(way: Way) -> None:
    tree = Tree()
    entries = [tree.image(one, one) for one in ("linux/amd64", "linux/arm64", "linux/s390x")]
    tree.tag("1", tree.index(*entries))
    way.serve(tree)
    outcome = way.bundle()
    assert outcome.code == 0, outcome.err
    assert way.entry.platforms == ("linux/amd64", "linux/arm64")
    assert "1 entries of its index that state no platform" in outcome.out
    way.install()
    kept = {str(one["digest"]) for one in entries[:2]}
    assert way.lacks(kept, set()) == set()
    assert way.lacks({str(entries[2]["digest"])}, set()) != set()


def test_what_the_registry_does_not_have_is_refused_or_told(way: Way) -> None:
    tree = Tree()
    gone = tree.image("linux/arm64", "a", stated=True)
    blob = tree.blob(b"gone", "application/vnd.example")
    tree.tag("1", tree.index(tree.image(stated=True), gone))
    tree.tag("2", tree.index(tree.image(stated=True), blob))
    del tree.documents[gone["digest"]], tree.blobs[blob["digest"]]
    way.serve(tree)
    outcome = way.bundle(*_ALL)
    assert (outcome.code, "is not whole upstream" in outcome.err) == (3, True), outcome
    assert way.bundle("--platform", "linux/amd64").code == 0
    outcome = way.bundle(*_ALL, names=(":2",))
    assert (outcome.code, "note: " in outcome.out) == (0, True), outcome
    assert f"{blob['digest'][:19]} (application/vnd.example)" in outcome.out
    way.install()


def test_several_entries_for_one_platform_are_all_carried(way: Way) -> None:
    tree = Tree()
    zstd = tree.image("linux/amd64", "z", kind=ZSTD, stated=True)
    tree.tag("1", tree.index(tree.image("linux/amd64", stated=True), zstd))
    way.serve(tree)
    for options in (_ALL, ("--platform", "linux/amd64")):
        assert way.bundle(*options).code == 0
        assert str(zstd["digest"]).encode() in (way.folder / "bundle/bundle.json").read_bytes()


def test_all_versions_of_windows_are_carried(way: Way) -> None:
    tree = Tree()
    versions = ("10.0.17763.1", "10.0.20348.1")
    entries = [
        on(tree.image("windows/amd64", one), "windows/amd64", **{"os.version": one})
        for one in versions
    ]
    top = tree.tag("1", tree.index(*entries, tree.image("linux/amd64", stated=True)))
    way.serve(tree)
    assert way.bundle("--platform", "windows/amd64").code == 0
    assert (way.entry.platforms, way.entry.omitted) == (("windows/amd64",), ("linux/amd64",))
    way.install()
    assert way.lacks({top, *(str(one["digest"]) for one in entries)}, set()) == set()


def test_an_entry_of_a_platform_that_nobody_could_ask_for_stops_no_other(way: Way) -> None:
    tree = Tree()
    odd = on(tree.image("linux/arm64", "odd"), "linux/arm64", variant="v8.2+crypto")
    tree.tag("1", tree.index(tree.image(stated=True), odd))
    way.serve(tree)
    outcome = way.bundle("--platform", "linux/amd64")
    assert outcome.code == 0, outcome.err
    assert way.entry.platforms == ("linux/amd64",)
    assert "1 entries of its index that state no platform" in outcome.out
    assert way.bundle(*_ALL).code == 0
    way.install()
    assert way.lacks({str(odd["digest"])}, set()) == set()


@pytest.mark.parametrize("options", [("--platform", "linux/arm64"), _ALL])
def test_an_image_without_a_platform_is_good_for_every_one(
    way: Way, options: tuple[str, ...]
) -> None:
    tree = Tree()
    tree.tag("1", tree.image(config={}))
    way.serve(tree)
    outcome = way.bundle(*options)
    assert outcome.code == 0, outcome.err
    assert "any platform" in outcome.out
    way.install()


def test_an_earlier_version_of_a_machine_serves_a_later_one(way: Way) -> None:
    tree = Tree()
    old = tree.image("linux/arm/v6", stated=True)
    tree.tag("1", tree.index(tree.image("linux/amd64", stated=True), old))
    tree.tag("single", old)
    way.serve(tree)
    for name in (":1", ":single"):
        outcome = way.bundle("--platform", "linux/arm/v7", names=(name,))
        assert outcome.code == 0, outcome.err
        assert way.entry.platforms == ("linux/arm/v6",)
    assert way.bundle("--platform", "linux/arm/v5").code == 3


_ARTIFACTS: Mapping[str, Make] = {
    "a Helm chart": lambda tree: tree.chart(),
    "an SBOM": lambda tree: tree.artifact("application/spdx+json"),
    "a WebAssembly module": lambda tree: tree.artifact("application/vnd.wasm.config.v0+json"),
    "a Sigstore bundle": lambda tree: tree.artifact(
        "application/vnd.dev.sigstore.bundle.v0.3+json"
    ),
    "a cosign signature": lambda tree: tree.manifest(
        tree.blob(b'{"architecture":"","os":""}', CONFIG),
        tree.blob(b"{}", "application/vnd.dev.cosign.simplesigning.v1+json"),
    ),
    "an artifact of the type application/vnd.example.thing": lambda tree: tree.artifact(
        "application/vnd.example.thing"
    ),
}


@pytest.mark.parametrize("words", _ARTIFACTS)
def test_an_artifact_is_named_and_carried_inside_an_index(way: Way, words: str) -> None:
    tree = Tree()
    made = _ARTIFACTS[words](tree)
    tree.tag("1", made)
    top = tree.tag("index", tree.index(made))
    stated = tree.tag("stated", tree.index(on(made, "linux/amd64")))
    way.serve(tree)
    alone = way.bundle()
    assert (alone.code, f"it is {words}" in alone.err) == (3, True), alone
    inside = way.bundle(names=(":index",))
    assert (inside.code, words in inside.err, _ALL[0] in inside.err) == (3, True, True), inside
    inside = way.bundle("--platform", "linux/amd64", names=(":stated",))
    assert (inside.code, words in inside.err) == (3, True), inside
    assert way.bundle(*_ALL, names=(":index", ":stated")).code == 0
    way.install()
    assert way.lacks(*tree.reached(top)) == way.lacks(*tree.reached(stated)) == set()


def test_a_foreign_layer_is_carried_where_the_registry_has_it(way: Way) -> None:
    tree = Tree()
    layer = tree.blob(b"layer", FOREIGN, urls=["https://elsewhere.example/layer"])
    config = tree.blob(b'{"os":"windows","architecture":"amd64"}', CONFIG)
    top = tree.tag("1", tree.manifest(config, layer))
    way.serve(tree)
    outcome = way.bundle("--platform", "windows/amd64")
    assert outcome.code == 0, outcome.err
    assert "layers are at elsewhere.example" in outcome.out
    way.install()
    assert way.lacks(*tree.reached(top)) == set()
    del tree.blobs[str(layer["digest"])]
    way.serve(tree)
    outcome = way.bundle("--platform", "windows/amd64")
    assert (outcome.code, "a foreign layer" in outcome.err) == (3, True), outcome


@pytest.mark.parametrize(
    "kind", ["application/vnd.docker.distribution.manifest.v1+prettyjws", "application/json"]
)
def test_dockers_first_format_is_refused_by_name(way: Way, kind: str) -> None:
    tree = Tree()
    tree.tag("1", tree.document({"schemaVersion": 1, "name": "x", "fsLayers": []}, kind))
    way.serve(tree)
    outcome = way.bundle()
    assert (outcome.code, "schema 1" in outcome.err) == (3, True), outcome


@pytest.mark.parametrize("served", ["application/json", "text/plain", "", DOCKER_MANIFEST])
@pytest.mark.parametrize("own", [MANIFEST, None])
def test_a_document_says_what_it_is_whatever_it_is_served_as(
    way: Way, served: str, own: str | None
) -> None:
    tree = Tree()
    image = tree.image("linux/amd64")
    document = json.loads(tree.documents[image["digest"]][1])
    if own is None:
        del document["mediaType"]
    tree.tag("1", tree.document(document, served))
    way.serve(tree)
    outcome = way.bundle("--platform", "linux/amd64")
    assert outcome.code == 0, outcome.err
    assert way.entry.media_type == (
        served if (own, served) == (None, DOCKER_MANIFEST) else MANIFEST
    )
    way.install()


@pytest.mark.parametrize("options", [(), _ALL])
def test_an_index_without_anything_is_no_image(way: Way, options: tuple[str, ...]) -> None:
    tree = Tree()
    tree.tag("1", tree.index())
    tree.tag("2", tree.index(tree.index()))
    way.serve(tree)
    for name in (":1", ":2"):
        assert way.bundle(*options, names=(name,)).code == 3


def test_a_wrong_size_of_what_another_image_includes_is_found_before_it_is_signed(way: Way) -> None:
    tree = Tree()
    other = tree.image("linux/arm64", stated=True)
    tree.tag("1", tree.index(tree.image(stated=True), {**other, "size": int(other["size"]) + 1}))
    tree.tag("2", tree.index(tree.image(stated=True), other))
    way.serve(tree)
    assert way.bundle("--platform", "linux/amd64").code == 0
    spec = way.folder / "spec.toml"
    lines = [f'[[images]]\nname = "{way.site.address}/{_REPOSITORY}:{tag}"\n' for tag in "12"]
    spec.write_text(
        'platforms = ["linux/amd64"]\n' + 'platforms = ["linux/arm64"]\n'.join(lines[::-1])
    )
    outcome = airgap("bundle", spec, "--no-roles", "--key", way.key, "-o", way.folder / "bundle2")
    assert (outcome.code, "states a wrong size" in outcome.err) == (6, True), outcome
    assert not (way.folder / "bundle2" / "SHA256SUMS").exists()


def test_what_one_image_leaves_out_and_another_includes_is_stated(way: Way) -> None:
    tree = Tree()
    unstated = tree.image("linux/amd64", "c")
    arm = tree.image("linux/arm64", "a", stated=True)
    inner = tree.index(arm, unstated)
    tree.tag(
        "1", tree.index(tree.image("linux/s390x", stated=True), on(inner, "linux/arm64"), unstated)
    )
    tree.tag("2", unstated)
    way.serve(tree)
    names = (":1", ":2")
    for platforms in (
        ("linux/s390x", "linux/amd64"),
        ("linux/amd64",),
        ("linux/arm64", "linux/amd64"),
    ):
        here = _fresh(way)
        options = [word for one in platforms for word in ("--platform", one)]
        outcome = here.bundle(*options, names=names)
        assert outcome.code == 0, outcome.err
        assert here.entry.serves(parse_platform("linux/amd64"))
        here.install()


# Builds `FROM` each image for each platform, as pairs in the arguments.
_BUILDKIT = """
buildkitd --oci-worker-snapshotter native >/tmp/log 2>&1 &
until buildctl debug info >/dev/null 2>&1; do kill -0 $! || exit 9; sleep 0.1; done
mkdir /tmp/context
while [ $# -gt 0 ]; do
    echo "FROM $1" >/tmp/context/Dockerfile
    rm -rf /tmp/out
    buildctl build --frontend dockerfile.v0 --opt platform="$2" --local context=/tmp/context \\
        --local dockerfile=/tmp/context --output type=local,dest=/tmp/out >/tmp/build 2>&1 &&
        echo "$1 $2 $(cat /tmp/out/file)" || { echo "$1 $2 failed"; cat /tmp/build >&2; }
    shift 2
done
"""


def test_buildkit_takes_from_the_mirror_what_a_selection_carries(way: Way) -> None:
    tree = Tree()
    v6 = tree.image("linux/arm/v6", "v6", stated=True)
    tree.tag("nested", _nested(tree))
    tree.tag("older", tree.index(tree.image("linux/amd64", "amd64", stated=True), v6))
    tree.tag(
        "configs", tree.index(*(tree.image(one, one) for one in ("linux/amd64", "linux/s390x")))
    )
    tree.tag("any", tree.image(text="any", config={}))
    tree.tag("alone", v6)
    way.serve(tree)
    wanted = {
        ("nested", "linux/arm64"): "linux/arm64",
        ("older", "linux/arm/v7"): "v6",
        ("configs", "linux/amd64"): "linux/amd64",
        ("any", "linux/arm64"): "any",
        ("alone", "linux/arm/v7"): "v6",
    }
    for number, (tag, platform) in enumerate(wanted):
        assert (
            way.bundle("--platform", platform, "--name", f"n{number}", names=(f":{tag}",)).code == 0
        )
        way.install()
    with Upstream(way.store) as mirror, EngineRoot("127.0.0.1:9") as root:
        base = f"{mirror.address}/{way.site.address.replace(':', '_')}/{_REPOSITORY}"
        pairs = [word for tag, platform in wanted for word in (f"{base}:{tag}", platform)]
        done = root.run(["sh", "-c", _BUILDKIT, "sh", *pairs])
    expected = [f"{base}:{tag} {platform} {text}" for (tag, platform), text in wanted.items()]
    assert done.stdout.splitlines() == expected, done.stderr
