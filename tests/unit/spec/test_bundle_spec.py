"""Bundle specs: what a file may say, and what several of them come to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap.errors import UsageError
from airgap.limits import LIMITS
from airgap.oci.platform import Platform, parse_platform
from airgap.oci.reference import Reference, parse_reference
from airgap.spec.bundle_spec import (
    DEFAULT_ROLES,
    BundleSpec,
    ImageSpec,
    RecordingSpec,
    WantedImage,
    load_spec,
    make_request,
    parse_record,
)

AMD64 = Platform("linux", "amd64")
ARM64 = Platform("linux", "arm64")
RISCV = Platform("linux", "riscv64")
ALPINE = parse_reference("alpine")
GOLANG = parse_reference("golang")
READY_MADE = sorted(Path(__file__).parents[3].glob("bundles/*.toml"))
SETTABLE = "builder, emulator, registry, buildx, frontend, generator"


def load(folder: Path, text: str) -> BundleSpec:
    path = folder / "my.toml"
    path.write_text(text)
    return load_spec(path)


def spec(*names: str) -> BundleSpec:
    return BundleSpec(images=tuple(ImageSpec(parse_reference(name)) for name in names))


def test_a_spec_says_everything_that_can_be_said(tmp_path: Path) -> None:
    assert load(
        tmp_path,
        """
        name = "arm64-builder"
        platforms = ["linux/arm64", "linux/aarch64/v8", "linux/riscv64"]
        host_platforms = ["linux/x86_64"]

        [roles]
        builder = "moby/buildkit:v0.20"

        [[images]]
        name = "golang:alpine"

        [[images]]
        name = "ghcr.io/example/base:1"
        platforms = ["linux/arm64"]
        """,
    ) == BundleSpec(
        "arm64-builder",
        (ARM64, RISCV),
        (AMD64,),
        {"builder": Reference("docker.io", "moby/buildkit", "v0.20")},
        (
            ImageSpec(Reference("docker.io", "library/golang", "alpine")),
            ImageSpec(Reference("ghcr.io", "example/base", "1"), (ARM64,)),
        ),
    )


def test_an_empty_spec_is_the_defaults(tmp_path: Path) -> None:
    assert load(tmp_path, "") == BundleSpec("images", (AMD64, ARM64), (AMD64,), {}, ())


@pytest.mark.parametrize("path", READY_MADE, ids=lambda path: str(path.name))
def test_the_specs_that_come_with_airgap_can_be_read(path: Path) -> None:
    request = make_request([load_spec(path)])
    assert request.name == path.stem
    assert request.images


@pytest.mark.parametrize(
    ("text", "why", "allowed"),
    [
        (
            "nam = 'x'",
            "unknown key nam",
            "name, platforms, host_platforms, roles, images, recordings",
        ),
        (
            "z = 1\nb = 1",
            "unknown key b",
            "name, platforms, host_platforms, roles, images, recordings",
        ),
        ("[roles]\nbase = 'x'", "unknown key roles.base", SETTABLE),
        ("[roles]\nBuilder = 'x'", "unknown key roles.Builder", SETTABLE),
        ("[[images]]\nname = 'x'\ntag = '1'", "unknown key images[1].tag", "name, platforms"),
        ("name = 1", "name: 1 cannot name a bundle", "lower-case letters"),
        ("name = ''", "name: '' cannot name a bundle", "lower-case letters"),
        ("name = 'Big'", "name: 'Big' cannot name a bundle", "lower-case letters"),
        ("name = '../x'", "name: '../x' cannot name a bundle", "lower-case letters"),
        ("name = 'x-'", "name: 'x-' cannot name a bundle", "lower-case letters"),
        ('name = "x\\n"', r"name: 'x\n' cannot name a bundle", "lower-case letters"),
        (f"name = '{'x' * 65}'", f"name: '{'x' * 65}' cannot name", "lower-case letters"),
        ("platforms = 'linux/arm64'", 'platforms must be a list such as ["linux/arm64"]', ""),
        ("platforms = []", "platforms must be a list such as", ""),
        ("platforms = [1]", "platforms must be a list such as", ""),
        ("platforms = ['arm64']", "platforms: 'arm64' is not a platform", "os/architecture"),
        ("host_platforms = {}", "host_platforms must be a list such as", ""),
        ("host_platforms = ['a b']", "host_platforms: 'a b' is not a platform", "linux/arm64"),
        ("roles = []", "roles must be a table of role = image", ""),
        ("[roles]\nbuilder = 1", "roles.builder must be an image reference, such as", ""),
        ("[roles]\nbuilder = 'A'", "roles.builder: 'A' is not an image reference", "alpine:3.20"),
        ("images = 'x'", "images must be tables: write [[images]] and name = …", ""),
        ("images = ['x']", "images must be tables: write [[images]]", ""),
        ("[images]\nname = 'x'", "images must be tables: write [[images]]", ""),
        ("[[images]]", "images[1].name must be an image reference, such as", ""),
        ("[[images]]\nname = []", "images[1].name must be an image reference, such as", ""),
        (
            "[[images]]\nname = 'x'\n[[images]]\nname = 'y z'",
            "images[2].name: 'y z' is not an image reference",
            "alpine:3.20",
        ),
        (
            "[[images]]\nname = 'x'\nplatforms = ['x']",
            "images[1].platforms: 'x' is not a platform",
            "linux/arm64",
        ),
        ("[[images]]\nname = 'x'\nplatforms = []", "images[1].platforms must be a list", ""),
    ],
)
def test_what_is_not_allowed_is_refused_by_file_and_key(
    tmp_path: Path, text: str, why: str, allowed: str
) -> None:
    with pytest.raises(UsageError) as caught:
        load(tmp_path, text)
    assert caught.value.message.startswith(f"{tmp_path / 'my.toml'}: {why}")
    assert allowed in caught.value.remedy


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"name = \nx", "line 1"),
        (b"name = 'x'\nname = 'y'\n", "line 2"),
        (b"name = '\xff'", "can't decode byte 0xff"),
        (b"x = " + b"[" * 100_000, ""),  # in words that differ between Pythons
        (b"x = " + b"9" * 100_000, "digits"),
        (b"x = 2026-13-01", "line 1"),
    ],
)
def test_what_is_not_toml_is_refused_with_its_place(tmp_path: Path, data: bytes, why: str) -> None:
    path = tmp_path / "my.toml"
    path.write_bytes(data)
    with pytest.raises(UsageError) as caught:
        load_spec(path)
    assert caught.value.message.startswith(f"{path} is not TOML: ")
    assert why in caught.value.message


def test_a_file_that_is_absent_a_folder_or_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read the spec .*absent\.toml: No such file"):
        load_spec(tmp_path / "absent.toml")
    with pytest.raises(UsageError, match=f"{re.escape(str(tmp_path))}: Is a directory"):
        load_spec(tmp_path)
    comment = "#".ljust(LIMITS.spec_bytes, "x")
    assert load(tmp_path, comment) == BundleSpec()
    with pytest.raises(UsageError, match=r"my\.toml is larger than 1048576 bytes"):
        load(tmp_path, comment + "x")


@pytest.mark.parametrize("text", ["name = '{}'", "{} = 1", "platforms = ['{}']"])
def test_a_message_stays_short_whatever_the_file_says(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(tmp_path, text.format("x" * 100_000))
    assert len(str(caught.value)) < 1_000


def test_a_request_has_the_roles_for_the_hosts_and_then_the_images() -> None:
    request = make_request([spec("alpine", "golang")])
    assert request.name == "images"
    assert request.host_platforms == (AMD64,)
    assert request.images == (
        *(
            WantedImage(parse_reference(text), (AMD64,), (AMD64,), (role,))
            for role, text in DEFAULT_ROLES.items()
        ),
        WantedImage(ALPINE, (AMD64, ARM64), (), ("base",)),
        WantedImage(GOLANG, (AMD64, ARM64), (), ("base",)),
    )


def test_roles_can_be_left_out() -> None:
    request = make_request([spec("alpine")], with_roles=False)
    assert request.images == (WantedImage(ALPINE, (AMD64, ARM64), (), ("base",)),)


def test_a_spec_sets_roles_over_the_defaults_and_a_later_spec_over_it() -> None:
    first = BundleSpec(roles={"builder": ALPINE, "generator": ALPINE})
    second = BundleSpec(roles={"builder": GOLANG})
    request = make_request([first, second])
    by_role = {role: image.reference for image in request.images for role in image.roles}
    defaults = {role: parse_reference(text) for role, text in DEFAULT_ROLES.items()}
    assert by_role == defaults | {"builder": GOLANG, "generator": ALPINE}


def test_an_image_with_several_roles_is_wanted_once_for_all_of_them() -> None:
    shared = BundleSpec(
        roles={"frontend": ALPINE, "builder": ALPINE},
        images=(ImageSpec(ALPINE, (ARM64,)), ImageSpec(ALPINE, (RISCV, ARM64))),
    )
    [image] = [one for one in make_request([shared]).images if one.reference == ALPINE]
    platforms = (AMD64, ARM64, RISCV)
    assert image == WantedImage(ALPINE, platforms, platforms, ("builder", "frontend", "base"))


def test_roles_are_carried_for_the_hosts_of_all_specs() -> None:
    specs = [BundleSpec(host_platforms=(ARM64,)), BundleSpec(host_platforms=(AMD64, ARM64))]
    request = make_request(specs)
    assert request.host_platforms == (ARM64, AMD64)
    assert {image.platforms for image in request.images} == {(ARM64, AMD64)}


def test_an_images_own_platforms_come_before_the_command_line_and_the_spec() -> None:
    two = BundleSpec(platforms=(AMD64,), images=(ImageSpec(ALPINE, (ARM64,)), ImageSpec(GOLANG)))
    alpine, golang = make_request([two], with_roles=False).images
    assert (alpine.platforms, alpine.named) == ((ARM64,), (ARM64,))
    assert (golang.platforms, golang.named) == ((AMD64,), ())
    alpine, golang = make_request([two], platforms=[RISCV], with_roles=False).images
    assert (alpine.platforms, alpine.named) == ((ARM64,), (ARM64,))
    assert (golang.platforms, golang.named) == ((RISCV,), ())


def test_all_platforms_keeps_what_was_named() -> None:
    named = BundleSpec(images=(ImageSpec(ALPINE, (ARM64,)), ImageSpec(GOLANG)))
    request = make_request([named], with_roles=False, all_platforms=True)
    assert request.images == (
        WantedImage(ALPINE, (), (ARM64,), ("base",)),
        WantedImage(GOLANG, (), (), ("base",)),
    )


def test_the_name_is_the_first_specs_unless_one_is_given() -> None:
    specs = [BundleSpec(name="first"), BundleSpec(name="second")]
    assert make_request(specs).name == "first"
    assert make_request(specs, name="given").name == "given"
    with pytest.raises(UsageError, match="--name: 'Given' cannot name a bundle"):
        make_request(specs, name="Given")


def test_a_request_for_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="no image is asked for"):
        make_request([BundleSpec()], with_roles=False)


_text = st.sampled_from(["x", "linux/arm64", "alpine:3", "A b", "", "é\n"])
_value = st.recursive(
    st.one_of(_text, st.integers(), st.booleans(), st.floats(), st.datetimes()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2), st.dictionaries(_text.filter(bool), inner, max_size=2)
    ),
    max_leaves=4,
)
_platforms = st.one_of(_value, st.lists(st.sampled_from(["linux/arm64", "linux/arm", "x"])))
_name = st.one_of(_value, st.sampled_from(["alpine", "a.b/c:1", "A"]))
_image = st.fixed_dictionaries({"name": _name}, optional={"platforms": _platforms, "x": _value})
_documents = st.fixed_dictionaries(
    {},
    optional={
        "name": _name,
        "platforms": _platforms,
        "host_platforms": _platforms,
        "roles": st.one_of(
            _value, st.dictionaries(st.sampled_from(["builder", "base"]), _name, max_size=2)
        ),
        "images": st.one_of(_value, st.lists(_image, max_size=2)),
        "other": _value,
    },
)


def toml(value: object) -> str:
    """A value in TOML's inline form."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return '"' + "".join(f"\\U{ord(character):08x}" for character in value) + '"'
        case list():
            return f"[{', '.join(map(toml, value))}]"
        case dict():
            return f"{{{', '.join(f'{toml(key)} = {toml(item)}' for key, item in value.items())}}}"
        case _:
            return str(value)


@settings(max_examples=120, deadline=None)
@given(_documents)
def test_any_document_is_a_spec_or_a_usage_error_that_names_file_and_key(
    tmp_path_factory: pytest.TempPathFactory, document: dict[str, object]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text("".join(f"{key} = {toml(value)}\n" for key, value in document.items()))
    try:
        found = load_spec(path)
    except UsageError as error:
        named = re.match(rf"{re.escape(str(path))}: (unknown key )?([a-z_]+)", error.message)
        assert named, error.message
        assert named[2] in document
        return
    assert "other" not in document
    everything = [*found.roles.values(), *(image.reference for image in found.images)]
    assert all(parse_reference(str(reference)) == reference for reference in everything)
    for platform in (*found.platforms, *found.host_platforms):
        assert parse_platform(str(platform)) == platform


@settings(max_examples=100, deadline=None)
@given(st.one_of(st.binary(max_size=40), st.text(alphabet="[]{}=.'\"#\nax1-:", max_size=20)))
def test_any_bytes_are_a_spec_or_a_usage_error_that_names_the_file(
    tmp_path_factory: pytest.TempPathFactory, data: bytes | str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    try:
        found = load_spec(path)
    except UsageError as error:
        assert error.message.startswith(str(path))
        return
    assert found == BundleSpec()  # nothing but comments and blanks


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a build."""
    folder = tmp_path / "My App_2"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\n")
    (folder / "docker").mkdir()
    (folder / "docker/release").write_text("FROM scratch\n")
    return folder


def test_a_spec_says_everything_of_a_recording(tmp_path: Path, project: Path) -> None:
    found = load(
        tmp_path,
        """
        [[recordings]]
        name = "release"
        context = "My App_2"
        dockerfile = "docker/release"
        target = "final"
        args = { VERSION = "1.2", TOKEN = "secret" }
        platforms = ["linux/arm64"]

        [[recordings]]
        context = "My App_2"
        """,
    ).recordings
    args = {"VERSION": "1.2", "TOKEN": "secret"}
    assert found == (
        RecordingSpec("release", project, "docker/release", "final", args, (ARM64,)),
        RecordingSpec("my-app_2", project),
    )
    assert found[0].dockerfile_path == project / "docker/release"
    assert "secret" not in repr(found)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("recordings = 'x'", "recordings must be tables: write [[recordings]] and context = …"),
        ("recordings = ['x']", "recordings must be tables"),
        ("[[recordings]]\nname = 'x'", "recordings[1].context is missing"),
        ("[[recordings]]\ncontext = 1", "recordings[1].context must be text of one line"),
        ("[[recordings]]\ncontext = 'absent'", "recordings[1].context: "),
        ("[[recordings]]\ncontext = 'My App_2/Dockerfile'", "recordings[1].context: "),
        ("[[recordings]]\ncontext = '.'\nname = 'x'", "recordings[1].dockerfile: there is no "),
        (
            "[[recordings]]\ncontext = 'My App_2'\ndockerfile = 'docker'",
            "recordings[1].dockerfile: there is no ",
        ),
        ("[[recordings]]\ncontext = 'My App_2'\nname = 'X'", "recordings[1].name: 'X' cannot name"),
        ("[[recordings]]\ncontext = 'My App_2'\nname = ''", "recordings[1].name: '' cannot name"),
        (
            "[[recordings]]\ncontext = 'My App_2'\n[[recordings]]\ncontext = 'My App_2'",
            "recordings[2].name: 'my-app_2' is there twice",
        ),
        ("[[recordings]]\ncontext = 'My App_2'\ntarget = '--push'", "recordings[1].target: "),
        ("[[recordings]]\ncontext = 'My App_2'\nargs = ['A=1']", "recordings[1].args must be a"),
        ("[[recordings]]\ncontext = 'My App_2'\nargs = {A = 1}", "recordings[1].args.A must be"),
        ("[[recordings]]\ncontext = 'My App_2'\nargs = {'A B' = '1'}", "recordings[1].args: 'A B'"),
        ("[[recordings]]\ncontext = 'My App_2'\nplatforms = []", "recordings[1].platforms must be"),
        ("[[recordings]]\ncontext = 'My App_2'\nrun = 'x'", "unknown key recordings[1].run"),
    ],
)
def test_a_recording_that_is_not_allowed_is_refused_by_file_and_key(
    tmp_path: Path, project: Path, text: str, why: str
) -> None:
    with pytest.raises(UsageError) as caught:
        load(tmp_path, text)
    assert caught.value.message.startswith(f"{tmp_path / 'my.toml'}: {why}")


def test_the_value_of_a_build_argument_is_in_no_message(tmp_path: Path, project: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load(tmp_path, "[[recordings]]\ncontext = 'My App_2'\nargs = {TOKEN = ['hidden']}")
    assert "hidden" not in str(caught.value)


def test_recordings_have_the_platforms_of_their_entry_of_the_command_line_or_of_their_spec(
    project: Path,
) -> None:
    recordings = (
        RecordingSpec("own", project, platforms=(RISCV,)),
        RecordingSpec("other", project),
    )
    asked = BundleSpec(platforms=(ARM64,), recordings=recordings)
    own, other = make_request([asked]).recordings
    assert (own.platforms, other.platforms) == ((RISCV,), (ARM64,))
    own, other = make_request([asked], platforms=[AMD64]).recordings
    assert (own.platforms, other.platforms) == ((RISCV,), (AMD64,))


def test_recordings_of_two_specs_cannot_have_one_name(project: Path) -> None:
    spec = BundleSpec(recordings=(RecordingSpec("app", project),))
    with pytest.raises(UsageError, match="two recordings are named app: of "):
        make_request([spec, spec])


def test_a_recording_can_be_named_on_the_command_line(project: Path) -> None:
    assert parse_record(str(project)) == RecordingSpec("my-app_2", project)
    named = parse_record(f"{project}:docker/release")
    assert named == RecordingSpec("my-app_2-docker-release", project, "docker/release")


def test_a_folder_whose_name_has_a_colon_wins(tmp_path: Path) -> None:
    for name in ("app", "app:1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "Dockerfile").touch()
        (tmp_path / name / "1").touch()
    assert parse_record(f"{tmp_path}/app:1").context == tmp_path / "app:1"
    assert parse_record(f"{tmp_path}/app:1").name == "app-1"
    assert parse_record(f"{tmp_path}/app:1:1").dockerfile_path == tmp_path / "app:1/1"
    (tmp_path / "app:1/Dockerfile").unlink()
    with pytest.raises(UsageError, match=r"there is no .*app:1/Dockerfile"):
        parse_record(f"{tmp_path}/app:1")


def test_the_folder_that_one_stands_in_has_a_name(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    assert parse_record(".").name == "my-app_2"


@pytest.mark.parametrize("text", ["", ":", ":Dockerfile", "app:"])
def test_a_recording_of_nothing_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="write PATH or PATH:DOCKERFILE"):
        parse_record(text)


def test_a_folder_without_a_usable_name_needs_one(tmp_path: Path) -> None:
    (tmp_path / "世界").mkdir()
    (tmp_path / "世界/Dockerfile").touch()
    with pytest.raises(UsageError, match="'' cannot name a recording"):
        parse_record(str(tmp_path / "世界"))
