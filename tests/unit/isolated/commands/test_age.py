"""What bundles change, and in which order: made by `bundle`, installed by `install`, many of them.

Names of every form lead to a few tags here, so that most bundles meet.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from airgap.bundle.archive import Archive
from airgap.bundle.contents import TOOL_NAME, Contents, FileEntry, ImageEntry, RecordingEntry
from airgap.bundle.media import Media
from airgap.bundle.replay_tar import ReplayTar
from airgap.bundle.verify import read_signed
from airgap.canonical import format_time
from airgap.connected.checkpoint import Checkpoint
from airgap.connected.fetch import TransferLimits
from airgap.connected.write_bundle import OutputOptions, plan_bundle, sign_bundle, write_images
from airgap.errors import ExitCode, IntegrityError, TrustError, UsageError
from airgap.isolated.commands.install import InstallOptions, install
from airgap.isolated.commands.load_context import load_context
from airgap.isolated.context import OpenBundle, Options
from airgap.isolated.host.user import User
from airgap.isolated.state import receipts
from airgap.isolated.state.layout import State
from airgap.isolated.state.registry_tags import TagMoves
from airgap.isolated.steps import tool
from airgap.isolated.steps.base import check_step
from airgap.isolated.steps.recordings import RecordingsStep
from airgap.isolated.steps.seed import SeedStep
from airgap.oci.digest import digest_of
from airgap.oci.manifest import OCI_INDEX, OCI_MANIFEST, Descriptor
from airgap.oci.platform import Platform, parse_platform
from airgap.oci.reference import Reference, parse_reference
from airgap.oci.retry import RetryBudget
from airgap.offline.build import choose
from airgap.progress import Progress
from airgap.replay.recording_store import load_recording
from airgap.spec.bundle_spec import Request, WantedImage
from airgap.store.bundle_set import BundleSet
from airgap.store.layout import mirror_name
from tests import forge
from tests.integration.command import airgap

KEY = forge.new_key()
START = datetime(2026, 1, 1, tzinfo=UTC)
PLATFORMS = ("linux/amd64", "linux/arm64")
# Name to the repositories that the mirror has for it.
PLACES = {
    "alpine": ("docker.io/library/alpine", "library/alpine"),
    "docker.io/library/alpine": ("docker.io/library/alpine", "library/alpine"),
    "index.docker.io/alpine": ("docker.io/library/alpine", "library/alpine"),
    "DOCKER.IO/library/alpine": ("docker.io/library/alpine",),
    "ghcr.io/org/app": ("ghcr.io/org/app",),
    "GHCR.io/org/app": ("ghcr.io/org/app",),
    "docker.io/ghcr.io/org/app": ("docker.io/ghcr.io/org/app", "ghcr.io/org/app"),
    "localhost:5000/app": ("localhost_5000/app",),
    "docker.io/localhost_5000/app": ("docker.io/localhost_5000/app", "localhost_5000/app"),
}
VERSIONS = tuple(forge.indexed("docker.io/library/any:1", texts=[f"version {n}"]) for n in range(3))


@dataclass(frozen=True)
class Wish:
    """An image of a bundle: how it is named, and which version that is upstream.

    `form` is `tag`, `pin` for a digest, or `both`.
    """

    name: str
    form: str
    version: int
    platforms: tuple[str, ...] = PLATFORMS

    @property
    def digest(self) -> str:
        return VERSIONS[self.version].entry.digest

    @property
    def reference(self) -> Reference:
        tag = "" if self.form == "pin" else ":1"
        digest = "" if self.form == "tag" else f"@{self.digest}"
        return parse_reference(f"{self.name}{tag}{digest}")

    @property
    def tags(self) -> list[str]:
        return [f"{place}:1" for place in PLACES[self.name]] if self.form == "tag" else []


@dataclass(frozen=True)
class Upstream:
    """What is published when a bundle is made: reference to version."""

    digests: Mapping[str, str]
    bodies: Mapping[str, bytes] = field(
        default_factory=lambda: {
            digest: data for one in VERSIONS for digest, data in {**one.bodies, **one.blobs}.items()
        }
    )

    def manifest(self, reference: Reference) -> tuple[Descriptor, bytes]:
        digest = reference.digest or self.digests[str(reference)]
        body = self.bodies[digest]
        is_index = any(one.entry.digest == digest for one in VERSIONS)
        return Descriptor(OCI_INDEX if is_index else OCI_MANIFEST, digest, len(body)), body

    def small_blob(self, reference: Reference, descriptor: Descriptor) -> bytes:
        return self.bodies[descriptor.digest]

    @contextmanager
    def blob(self, reference: Reference, digest: str, size: int, start: int) -> Iterator[Stream]:
        yield Stream(self.bodies[digest], start)

    def attempts(self, pause: Callable[[float], object]) -> RetryBudget:
        return RetryBudget(0, pause)

    def avoid(self, server: str) -> None:
        raise AssertionError(server)


class Stream:
    """The bytes of a blob."""

    server = "upstream"

    def __init__(self, data: bytes, start: int) -> None:
        self._data, self.start = data[start:], start

    def read(self, most: int, /) -> bytes:
        piece, self._data = self._data[:most], self._data[most:]
        return piece


def make(folder: Path, wishes: Sequence[Wish], serial: int, day: int = 0) -> Contents:
    """Makes a bundle as `airgap bundle` does."""
    created = format_time(START + timedelta(days=day))
    images = {
        str(one.reference): WantedImage(
            one.reference, tuple(map(parse_platform, one.platforms)), (), ("base",)
        )
        for one in wishes
    }
    request = Request("site", (Platform("linux", "amd64"),), tuple(images.values()))
    source = Upstream({str(one.reference): one.digest for one in wishes})
    target = OutputOptions(folder, durable=False, fixed=Checkpoint(serial, created, {}))
    planned = plan_bundle(request, target, source, Progress())
    with planned.unfinished.resume(planned.started):
        contents = write_images(planned, b"tool", source, TransferLimits(), Progress())
        return sign_bundle(planned, contents, KEY)


def put_in(state: State, folder: Path, *, older: bool = False, repair: bool = False) -> None:
    """Installs a bundle as far as it needs no Docker."""
    options = Options(allow_older=older, repair=repair)
    order = InstallOptions([folder], [KEY.public], only=("seed", "recordings"), options=options)
    install(state, order, User.behind_this_process(), Progress(), lambda outcome: None)


def tags(state: State) -> dict[str, str]:
    """Every tag of the mirror that is not there for the second name of Docker Hub's alone."""
    found = {f"{place}:1" for places in PLACES.values() for place in places}
    return {tag: digest for tag in found if (digest := state.mirror.tag(tag))}


def distinct(wishes: Sequence[Wish]) -> list[Wish]:
    """Those of different names: of one name a request has one."""
    return list({str(one.reference): one for one in wishes}.values())


def collide(wishes: Sequence[Wish]) -> bool:
    meant: dict[str, set[str]] = {}
    for one in wishes:
        for tag in one.tags:
            meant.setdefault(tag, set()).add(one.digest)
    return any(len(digests) > 1 for digests in meant.values())


WISHES = st.lists(
    st.builds(
        Wish,
        st.sampled_from(sorted(PLACES)),
        st.sampled_from(["tag", "tag", "pin", "both"]),
        st.integers(0, len(VERSIONS) - 1),
        st.sampled_from([PLATFORMS, PLATFORMS[:1], PLATFORMS[1:]]),
    ),
    min_size=1,
    max_size=3,
).map(distinct)
FOLDERS = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@FOLDERS
@given(st.lists(st.tuples(st.integers(0, 4), WISHES), min_size=1, max_size=4))
def test_each_tag_is_that_of_the_newest_bundle(offered: list[tuple[int, list[Wish]]]) -> None:
    """Whatever genuine bundles are offered, in any order, under any form of their names."""
    with TemporaryDirectory() as name:
        state, newest = State(Path(name, "state")), -1
        expected: dict[str, tuple[int, str]] = {}
        platforms: dict[tuple[str, str], set[str]] = {}
        for serial, (day, wishes) in enumerate(offered):
            folder = Path(name, str(serial))
            if collide(wishes):
                with pytest.raises(UsageError, match="both set the tag"):
                    make(folder, wishes, serial, day)
                continue
            make(folder, wishes, serial, day)
            put_in(State(Path(name, "empty")), folder)  # what is signed can be installed
            shutil.rmtree(Path(name, "empty"))
            new = {tag: (day, one.digest) for one in wishes for tag in one.tags}
            older = [
                tag
                for tag, (_, digest) in new.items()
                if tag in expected and expected[tag][0] > day and expected[tag][1] != digest
            ]
            if older:
                with pytest.raises(TrustError, match="would go back to an older state"):
                    put_in(state, folder)
                assert day < newest
            else:
                put_in(state, folder)
                newest = max(newest, day)
                for tag, (_, digest) in new.items():
                    before, known = expected.get(tag, (day, digest))
                    expected[tag] = (max(before, day) if known == digest else day, digest)
                for one in wishes:
                    place = (PLACES[one.name][0], one.digest)
                    platforms.setdefault(place, set()).update(one.platforms)
                _check_host(state, wishes, platforms)
            assert tags(state) == {tag: digest for tag, (_, digest) in expected.items()}


def _check_host(
    state: State, wishes: Sequence[Wish], platforms: Mapping[tuple[str, str], set[str]]
) -> None:
    """What status sees is well, and each image is found for all that any bundle included."""
    work = load_context(state, User.behind_this_process(), Progress())
    for step in (SeedStep(), RecordingsStep()):
        finding = check_step(step, work)
        assert finding.ok, finding.detail
    for one in wishes:
        found = work.desired.image(str(one.reference))
        assert found.digest == one.digest or one.form == "tag"
        assert set(found.platforms) == platforms[PLACES[one.name][0], found.digest]


@FOLDERS
@given(WISHES, WISHES)
def test_a_registry_of_the_site_is_held_to_the_same_tags(
    first: list[Wish], then: list[Wish]
) -> None:
    """An install moves a tag from what an earlier bundle meant by it, under any name."""
    assume(not collide(first) and not collide(then))  # neither side takes such a bundle
    known = receipts.seen_bundle(_contents(first), "", {})
    moves = TagMoves.of(_contents(then).images, [known])
    for one in then:
        for tag in one.tags[:1]:
            assert mirror_name(one.reference) == tag
            before = {other.digest for other in first if tag in other.tags}
            assert all(moves.allow(tag, digest) for digest in before)
            assert not moves.allow(tag, digest_of(b"somebody else's"))
        if one.form != "tag":
            assert mirror_name(one.reference) not in moves.meant


def _contents(wishes: Sequence[Wish]) -> Contents:
    """The contents of a bundle that was forged, perhaps with two images of one tag."""
    entries = [
        ImageEntry(str(one.reference), one.digest, OCI_INDEX, one.platforms) for one in wishes
    ]
    files = (FileEntry(TOOL_NAME, 0, "0" * 64),)
    return Contents("site", 1, forge.CREATED, "", "0", (), tuple(entries), (), files)


@pytest.mark.parametrize("name", ["alpine", "ghcr.io/org/app"])
@pytest.mark.parametrize("forms", [("both", "both"), ("both", "tag"), ("tag", "both")])
def test_a_pin_moves_and_stands_beside_its_tag(
    tmp_path: Path, name: str, forms: tuple[str, str]
) -> None:
    state = State(tmp_path / "state")
    wishes = [Wish(name, form, version) for version, form in enumerate(forms)]
    make(tmp_path / "both", wishes, 1)
    put_in(State(tmp_path / "other"), tmp_path / "both")
    for serial, wish in enumerate(wishes, start=2):
        make(tmp_path / str(serial), [wish], serial, serial)
        put_in(state, tmp_path / str(serial))
    work = load_context(state, User.behind_this_process(), Progress())
    assert [work.desired.image(str(one.reference)).digest for one in wishes] == [
        one.digest for one in wishes
    ]
    assert tags(state) == {tag: one.digest for one in wishes for tag in one.tags}


def test_what_is_named_by_digest_is_found_under_its_tag_too(tmp_path: Path) -> None:
    state, wish = State(tmp_path / "state"), Wish("alpine", "tag", 0)
    make(tmp_path / "1", [wish], 1)
    put_in(state, tmp_path / "1")
    wanted = load_context(state, User.behind_this_process(), Progress()).desired
    assert wanted.has(f"alpine:3@{wish.digest}")
    assert wanted.has(f"alpine@{wish.digest}")
    assert not wanted.has(f"alpine:1@{VERSIONS[1].entry.digest}")
    assert not wanted.has(f"ghcr.io/org/app@{wish.digest}")


@pytest.mark.parametrize("name", ["DOCKER.IO/library/alpine", "alpine"])
def test_an_old_bundle_restores_no_tag_under_another_name(tmp_path: Path, name: str) -> None:
    state = State(tmp_path / "state")
    make(tmp_path / "old", [Wish(name, "tag", 0)], 1, 0)
    make(tmp_path / "pin", [Wish(name, "both", 0)], 2, 0)
    make(tmp_path / "new", [Wish("alpine", "tag", 1)], 3, 1)
    put_in(state, tmp_path / "new")
    put_in(state, tmp_path / "pin")
    with pytest.raises(TrustError, match=r"docker\.io/library/alpine:1 would go back"):
        put_in(state, tmp_path / "old")
    assert set(tags(state).values()) == {VERSIONS[1].entry.digest}


def test_one_of_two_tags_of_a_name_may_become_anothers(tmp_path: Path) -> None:
    """Docker Hub's names are in the mirror twice; a repair moves neither tag."""
    state = State(tmp_path / "state")
    for serial, name in enumerate(("docker.io/ghcr.io/org/app", "ghcr.io/org/app")):
        make(tmp_path / str(serial), [Wish(name, "tag", serial)], serial, serial)
        put_in(state, tmp_path / str(serial))
    for repair in ("0", "1"):
        put_in(state, tmp_path / repair, repair=True)
        assert tags(state) == {
            "docker.io/ghcr.io/org/app:1": VERSIONS[0].entry.digest,
            "ghcr.io/org/app:1": VERSIONS[1].entry.digest,
        }
        assert check_step(
            SeedStep(), load_context(state, User.behind_this_process(), Progress())
        ).ok


def test_platforms_that_come_later_are_added(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    for serial, platform in enumerate((*PLATFORMS, PLATFORMS[0]), start=1):
        make(tmp_path / str(serial), [Wish("alpine", "tag", 0, (platform,))], serial, serial)
        put_in(state, tmp_path / str(serial))
    work = load_context(state, User.behind_this_process(), Progress())
    image = work.desired.image("alpine:1")
    assert (set(image.platforms), image.omitted) == (set(PLATFORMS), ())
    assert work.desired.emulated(Platform("linux", "amd64")) == [Platform("linux", "arm64")]
    assert check_step(SeedStep(), work).ok


def request(folder: Path, serial: int, day: int, answers: Mapping[str, bytes]) -> None:
    """A bundle with what was answered to a request file."""
    forge.make_bundle(
        folder,
        KEY,
        images=[],
        recordings=[forge.recorded(f"requested-{serial}", answers, dockerfile="")],
        name="requested",
        serial=serial,
        created=format_time(START + timedelta(days=day)),
    )


def first_answers(state: State) -> dict[str, str]:
    """URL to the digest of what a build is answered."""
    wanted = load_context(state, User.behind_this_process(), Progress()).desired
    found: dict[str, str] = {}
    for entry in choose(wanted.recordings, "", "", wanted.recorded):
        for response in load_recording(state.replay, entry).responses.values():
            found.setdefault(response.url, response.digest)
    return found


URLS = ("https://a.example/x", "https://b.example/y")


@FOLDERS
@given(
    st.lists(
        st.tuples(
            st.integers(0, 4),
            st.dictionaries(st.sampled_from(URLS), st.sampled_from([b"1", b"2"]), min_size=1),
        ),
        min_size=1,
        max_size=4,
        unique_by=lambda one: one[0],
    )
)
def test_the_newest_answer_counts_in_whatever_order_bundles_come(
    offered: list[tuple[int, dict[str, bytes]]],
) -> None:
    with TemporaryDirectory() as name:
        state = State(Path(name, "state"))
        for serial, (day, answers) in enumerate(offered):
            request(Path(name, str(serial)), serial, day, answers)
            put_in(state, Path(name, str(serial)))
        expected: dict[str, str] = {}
        for _, answers in sorted(offered, key=lambda one: one[0]):
            expected |= {url: digest_of(body) for url, body in answers.items()}
        assert first_answers(state) == expected
        put_in(state, Path(name, "0"))  # once more
        assert first_answers(state) == expected


@pytest.mark.parametrize("way", ["rolled back", "uninstalled"])
def test_an_answer_that_was_taken_away_does_not_come_back_older(tmp_path: Path, way: str) -> None:
    state = State(tmp_path / "state")
    request(tmp_path / "old", 1, 1, {URLS[0]: b"old"})
    request(tmp_path / "other", 2, 1, {URLS[1]: b"other"})
    request(tmp_path / "new", 3, 2, {URLS[0]: b"new"})
    put_in(state, tmp_path / "new")
    if way == "rolled back":
        receipts.retract(state, "rolled back", receipts.ReceiptLog.read(state).receipts[-1])
    else:
        receipts.write_receipt(state, "uninstalled")
    shutil.rmtree(state.replay.root)
    put_in(state, tmp_path / "other")
    with pytest.raises(TrustError, match=r"the answer to https://a\.example/x .* would go back"):
        put_in(state, tmp_path / "old")
    put_in(state, tmp_path / "old", older=True)
    assert first_answers(state)[URLS[0]] == digest_of(b"old")


def test_answers_of_hosts_that_kept_none_are_read_from_their_storage(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    request(tmp_path / "old", 1, 1, {URLS[0]: b"old"})
    request(tmp_path / "new", 3, 2, {URLS[0]: b"new"})
    put_in(state, tmp_path / "new")
    (state.bundles / "requested-3" / "answers.json").unlink()
    receipts.retract(state, "rolled back", receipts.ReceiptLog.read(state).receipts[-1])
    with pytest.raises(TrustError, match="the answer to"):
        put_in(state, tmp_path / "old")


def build_recording(name: str, text: str, dockerfile: str = "FROM scratch\n") -> forge.Recorded:
    digest = digest_of(dockerfile.encode())
    return forge.recorded(name, {URLS[0]: text.encode()}, dockerfile=digest)


def test_of_recordings_of_one_dockerfile_the_newest_bundle_counts(tmp_path: Path) -> None:
    """An old bundle that has another name for one does not make a build ask which is meant."""
    state, dockerfile = State(tmp_path / "state"), digest_of(b"FROM scratch\n")
    for name, day in (("new", 2), ("old", 1)):
        created = format_time(START + timedelta(days=day))
        recordings = [build_recording(name, name)]
        forge.make_bundle(
            tmp_path / name, KEY, images=[], recordings=recordings, name=name, created=created
        )
        put_in(state, tmp_path / name)

    def chosen() -> list[RecordingEntry]:
        wanted = load_context(state, User.behind_this_process(), Progress()).desired
        return choose(wanted.recordings, "", dockerfile, wanted.recorded)

    assert [one.name for one in chosen()] == ["new"]
    both = [build_recording(name, name) for name in ("web", "worker")]
    forge.make_bundle(
        tmp_path / "3",
        KEY,
        images=[],
        recordings=both,
        created=format_time(START + timedelta(days=3)),
    )
    put_in(state, tmp_path / "3")
    with pytest.raises(UsageError, match="several recordings"):
        chosen()


def with_tool(folder: Path, day: int, tool: bytes, version: str = "1.2.3") -> Path:
    """A bundle that holds nothing but airgap."""
    created = format_time(START + timedelta(days=day))
    name = f"day{day}"
    forge.make_bundle(
        folder / name, KEY, images=[], name=name, created=created, tool=tool, version=version
    )
    return folder / name


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_the_tool_of_the_newest_bundle_counts(tmp_path: Path, order: tuple[int, int]) -> None:
    state = State(tmp_path / "state")
    for day in order:
        put_in(state, with_tool(tmp_path, day, b"of day %d" % day))
    wanted = load_context(state, User.behind_this_process(), Progress()).desired.tool
    assert wanted is not None
    assert wanted[0].sha256 == digest_of(b"of day 2").removeprefix("sha256:")


def test_a_tool_that_was_taken_away_does_not_come_back_older(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    put_in(state, with_tool(tmp_path, 3, b"new"))
    receipts.write_receipt(state, "uninstalled")
    put_in(state, with_tool(tmp_path, 1, b"an older version", "1.2.2"))
    with pytest.raises(TrustError, match=r"airgap 1\.2\.3 would go back to an older state"):
        put_in(state, with_tool(tmp_path, 2, b"old"))
    put_in(state, tmp_path / "day2", older=True)


def test_an_older_bundle_does_not_replace_the_tool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two builds of one version differ in their bytes alone."""
    command, pyz = tmp_path / "airgap", tmp_path / "airgap.pyz"
    monkeypatch.setattr(tool, "_COMMAND", command)
    monkeypatch.setattr(tool, "_PYZ", pyz)
    state = State(tmp_path / "state")
    programs = {day: b"# %d\nprint('airgap 1.2.3')\n" % day for day in (1, 2, 3)}
    pyz.write_bytes(programs[2])
    command.write_text(str(pyz))
    put_in(state, with_tool(tmp_path, 2, programs[2]))
    said = []
    for day in (1, 2, 3):
        bundles = receipts.ReceiptLog.read(state).installed()
        with opened(with_tool(tmp_path, day, programs[day])) as bundle:
            wanted = BundleSet.of([*bundles, bundle.signed.contents])
            work = load_context(state, User.behind_this_process(), Progress())
            said.append(tool.ToolStep().check(replace(work, desired=wanted, bundle=bundle)).ok)
    assert said == [True, True, False]
    pyz.write_bytes(programs[3])  # the newest was installed without its tool
    with opened(tmp_path / "day1") as bundle:
        work = load_context(state, User.behind_this_process(), Progress())
        assert tool.ToolStep().check(replace(work, bundle=bundle)).ok


@contextmanager
def opened(folder: Path) -> Iterator[OpenBundle]:
    media = Media([folder])
    signed = read_signed(media, [KEY.public])
    with Archive(media, signed.contents) as archive, ReplayTar(media, signed.contents) as replay:
        yield OpenBundle(media, signed, archive, replay, archive.manifests())


def test_a_bundle_that_was_made_in_the_future_is_refused(tmp_path: Path) -> None:
    state, day = State(tmp_path / "state"), timedelta(days=1)
    for name, created in (("soon", datetime.now(UTC) + day / 2), ("2099", START + 73 * 365 * day)):
        forge.make_bundle(tmp_path / name, KEY, created=format_time(created), name=f"n{name}")
    put_in(state, tmp_path / "soon")
    receipts.quarantine(state)
    with pytest.raises(TrustError, match=r"was made on 2098-12-14 .* the clock of this host"):
        put_in(State(tmp_path / "other"), tmp_path / "2099")


def test_bundles_are_read_that_set_the_tag_of_a_pin(tmp_path: Path) -> None:
    """Airgap 1.0 has written so; images of the same bytes have another framing now."""
    image = forge.single("docker.io/library/a:1")
    pinned = forge.single(f"docker.io/library/a:1@{image.entry.digest}")
    forge.make_bundle(tmp_path / "new", KEY, images=[pinned])
    forge.make_bundle(tmp_path / "old", KEY, images=[pinned], tag_pins=True)
    named = [b'"RepoTags":["a:1"]' in forge.joined(tmp_path / one) for one in ("new", "old")]
    assert named == [False, True]
    for one in ("new", "old"):
        assert read_signed(Media([tmp_path / one]), [KEY.public])
        put_in(State(tmp_path / f"state-{one}"), tmp_path / one)
        assert tags(State(tmp_path / f"state-{one}")) == {}


@pytest.mark.parametrize(
    "names",
    [
        ("docker.io/ghcr.io/org/app", "ghcr.io/org/app"),
        ("DOCKER.IO/library/alpine", "alpine"),
        ("localhost:5000/app", "docker.io/localhost_5000/app"),
    ],
)
def test_two_images_of_one_tag_are_neither_made_nor_verified_nor_installed(
    tmp_path: Path, names: tuple[str, str]
) -> None:
    wishes = [Wish(name, "tag", version) for version, name in enumerate(names)]
    with pytest.raises(UsageError, match=r"both set the tag .* of a mirror"):
        make(tmp_path / "made", wishes, 1)
    assert not (tmp_path / "made").exists()
    images = [replace(VERSIONS[one.version], entry=_contents([one]).images[0]) for one in wishes]
    forge.make_bundle(tmp_path / "forged", KEY, images=images)
    (tmp_path / "site.pub").write_bytes(KEY.public.pem())
    refused = airgap("verify", tmp_path / "forged", "--trust", tmp_path / "site.pub")
    assert refused.code == ExitCode.INTEGRITY
    assert "would both be" in refused.err
    with pytest.raises(IntegrityError, match="would both be"):
        put_in(State(tmp_path / "state"), tmp_path / "forged")
