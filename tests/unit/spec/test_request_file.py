"""Request files: what is written is read, what is added stays single, and garbage is refused."""

from __future__ import annotations

import fcntl
import os
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airgap.errors import HostError, UsageError
from airgap.limits import LIMITS
from airgap.oci.platform import Platform
from airgap.oci.reference import parse_reference
from airgap.replay.redaction import arguments_of
from airgap.replay.request import RequestKey
from airgap.spec.request_file import (
    RequestedImage,
    RequestedUrl,
    RequestFile,
    add_to_request,
    load_request,
)

AMD64, ARM64 = Platform("linux", "amd64"), Platform("linux", "arm64")
GOLANG = RequestedImage(parse_reference("golang:alpine"), (ARM64,))
FILE = RequestedUrl("https://files.example/a.tar.gz", "*/*", "bytes=0-9")
BOTH = RequestFile((GOLANG,), (FILE,))
TEXT = """\
# What builds lacked. To fetch it, where there is a network:
#   airgap bundle --request airgap-request.toml --no-roles --key site.key -o DIR

[[images]]
name = "golang:alpine"
platforms = ["linux/arm64"]

[[urls]]
url = "https://files.example/a.tar.gz"
accept = "*/*"
range = "bytes=0-9"
"""
TOKEN = "canary-2f8e17"


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """This user's cache stays as it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


platforms = st.lists(st.sampled_from([AMD64, ARM64, Platform("linux", "arm", "v7")]), min_size=1)
references = st.sampled_from(
    ["alpine", "ghcr.io/a/b:1", "localhost:5000/x", f"b@sha256:{'a' * 64}"]
)
images = st.builds(
    RequestedImage,
    references.map(parse_reference),
    platforms.map(lambda found: tuple(dict.fromkeys(found))),
)
headers = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF), max_size=20).filter(
    lambda text: "\x7f" not in text
)
urls = st.builds(
    RequestedUrl,
    st.sampled_from(["https://a.example/", "http://[2001:db8::1]:8080/x?y=1", "{BASE}/y"]),
    headers,
    headers,
)
files = st.builds(
    RequestFile, st.lists(images, max_size=4).map(tuple), st.lists(urls, max_size=4).map(tuple)
)


def load(folder: Path, data: str | bytes) -> RequestFile:
    path = folder / "my.toml"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return load_request(path)


def test_the_text_is_small_and_says_how_it_is_used(tmp_path: Path) -> None:
    assert BOTH.to_toml() == TEXT
    assert load(tmp_path, TEXT) == BOTH


@given(files)
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, file: RequestFile
) -> None:
    single = RequestFile().merge(file)
    assert load(tmp_path_factory.mktemp("request"), single.to_toml()) == single


@given(files, files)
def test_what_is_added_twice_is_there_once(left: RequestFile, right: RequestFile) -> None:
    both = left.merge(right)
    assert both.merge(left) == both.merge(right) == both
    assert len({image.reference for image in both.images}) == len(both.images)
    assert set(both.urls) == {*left.urls, *right.urls}
    for image in (*left.images, *right.images):
        (known,) = (one for one in both.images if one.reference == image.reference)
        assert set(image.platforms) <= set(known.platforms)


@settings(max_examples=500)
@given(st.integers(0, len(TEXT) - 1), st.integers(0, 40), st.binary(max_size=8))
def test_a_damaged_file_is_read_as_it_stands_or_refused(
    tmp_path_factory: pytest.TempPathFactory, at: int, cut: int, new: bytes
) -> None:
    data, folder = TEXT.encode(), tmp_path_factory.getbasetemp()
    try:
        file = load(folder, data[:at] + new + data[at + cut :])
    except UsageError as error:
        assert str(folder / "my.toml") in error.message
    else:
        assert load(folder, file.to_toml()) == file


@given(st.binary(max_size=200))
def test_garbage_is_refused_as_such(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    try:
        load(tmp_path_factory.getbasetemp(), data)
    except UsageError as error:
        assert "my.toml" in error.message


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("x = 1", "x is an unknown key"),
        ("images = 1", "images must be tables"),
        ("urls = ['https://a.example/']", "urls must be tables"),
        ("[[images]]\nname = 'a'", "images[1].platforms must be a list"),
        ("[[images]]\nname = 'a'\nplatforms = []", "images[1].platforms must be a list"),
        ("[[images]]\nname = 'a'\nplatforms = [1]", "images[1].platforms must be a list"),
        ("[[images]]\nname = 'a'\nplatforms = ['x']", "images[1]: 'x' is not a platform"),
        ("[[images]]\nname = 'A b'\nplatforms = ['a/b']", "images[1]: 'A b' is not an image"),
        ("[[images]]\nplatforms = ['a/b']", "images[1].name must be an image reference"),
        ("[[images]]\ntag = 1", "images[1].tag is an unknown key"),
        ("[[urls]]", "urls[1].url must be text"),
        ("[[urls]]\nurl = 'https://a.example/'\nrange = 1", "urls[1].range must be text"),
        ("[[urls]]\nurl = 'https://a.example/'\nmethod = 'x'", "urls[1].method is an unknown key"),
        (f"x = {'9' * 5000}", "is not TOML"),
        (f"x = {'[' * 5000}", "is not TOML"),
        (b"\xff", "is not TOML: it is not UTF-8"),
        (b"#" * (LIMITS.request_bytes + 1), f"is larger than {LIMITS.request_bytes} bytes"),
    ],
)
def test_what_is_not_allowed_is_named(tmp_path: Path, text: str | bytes, why: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(tmp_path, text)
    assert why in caught.value.message


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a.example/",
        "https://a.example",
        "HTTPS://a.example/",
        "https://A.example/",
        "ftp://a.example/",
        "file:///etc/passwd",
        "https:///x",
        "https://a.example:0/",
        "https://a.example/a b",
        "https://a.example/\\u001b[0m",
        "https://a.example/ü",
        f"https://user:{TOKEN}@a.example/",
        f"https://a.example:{TOKEN}/",
        f"https://a.example/{'x' * LIMITS.url_characters}",
    ],
)
def test_no_other_url_is_taken_and_none_is_shown(tmp_path: Path, url: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(tmp_path, f'[[urls]]\nurl = "{url}"')
    assert "urls[1] cannot be asked for" in caught.value.message
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("key", ["accept", "range"])
def test_no_header_has_a_second_line(tmp_path: Path, key: str) -> None:
    with pytest.raises(UsageError, match="cannot be asked for"):
        load(tmp_path, f'[[urls]]\nurl = "https://a.example/"\n{key} = "x\\r\\nCookie: y"')


@pytest.mark.parametrize(
    ("url", "arguments"),
    [
        (f"https://a.example/x?token={TOKEN}", {}),
        (f"https://a.example/x?a=1&sig={TOKEN}&b=2", {}),
        (f"https://a.example/{TOKEN}/x", {"VERSION": TOKEN}),
        (f"https://{TOKEN}.example/x", {"HOST": f"{TOKEN}.example"}),
        ("https://a.example/x", {"SCHEME": "https"}),
        ("https://a.example/a%20b%2Fc", {"NAME": "a b/c"}),
    ],
)
def test_a_url_from_which_something_was_taken_is_kept_and_marked(
    tmp_path: Path, url: str, arguments: dict[str, str]
) -> None:
    shown = RequestKey(url, arguments=arguments_of(arguments)).shown
    requested = RequestedUrl(shown)
    assert shown != url
    assert requested.obstacle
    assert ("a secret" in requested.obstacle) == (not arguments)
    assert all(name in requested.obstacle for name in arguments)
    text = RequestFile((), (requested,)).to_toml()
    assert f"\n# Not fetched as it is: {requested.obstacle}.\nurl = " in text
    assert load(tmp_path, text).urls == (requested,)


def test_a_person_can_write_the_value_of_an_argument_back() -> None:
    shown = RequestKey("https://a.example/v1.2.3/x", arguments=(("VERSION", "1.2.3"),)).shown
    assert shown == "https://a.example/v{VERSION}/x"
    written = shown.replace("{VERSION}", "1.2.3")
    assert RequestedUrl(written).obstacle == ""
    asked = RequestKey("https://a.example/v1.2.3/x", arguments=(("VERSION", "1.2.3"),))
    assert RequestKey(written).key == asked.key


def test_failed_builds_add_up_in_one_file(tmp_path: Path) -> None:
    path = tmp_path / "airgap-request.toml"
    alpine = RequestedImage(parse_reference("alpine"), (AMD64,))
    more = RequestFile((alpine, RequestedImage(GOLANG.reference, (AMD64,))), (FILE,))
    assert add_to_request(path, BOTH) == BOTH
    asked = add_to_request(path, more)
    assert asked == load_request(path) == BOTH.merge(more)
    assert [image.platforms for image in asked.images] == [(ARM64, AMD64), (AMD64,)]
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [path]


def test_builds_that_fail_at_once_all_add_theirs(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    each = [RequestFile((), (RequestedUrl(f"https://a.example/{number}"),)) for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda one: add_to_request(path, one), each))
    assert {url for one in each for url in one.urls} == set(load_request(path).urls)


def test_who_holds_the_folder_holds_up_no_build(tmp_path: Path) -> None:
    """Every user who can read a folder can lock it."""
    folder = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        assert add_to_request(tmp_path / "r.toml", BOTH) == BOTH
    finally:
        os.close(folder)


def test_what_no_file_may_have_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    odd = RequestFile((), (FILE, RequestedUrl(FILE.url, "a\nb"), RequestedUrl("nothing")))
    assert add_to_request(path, odd).urls == (FILE,)


@pytest.mark.parametrize("accept", ["a", '"', "\\", "\t", "\xe9"])
def test_what_a_file_has_no_room_for_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accept: str
) -> None:
    limits = replace(LIMITS, request_bytes=20_000)
    monkeypatch.setattr("airgap.spec.request_file.LIMITS", limits)
    path = tmp_path / ('"' * 100)
    for start in range(0, 60, 20):
        urls = [
            RequestedUrl(f"https://a.example/{number}{{A}}", accept * number)
            for number in range(start, start + 20)
        ]
        asked = add_to_request(path, RequestFile((), tuple(urls)))
        assert load_request(path) == asked
    assert path.stat().st_size <= limits.request_bytes
    left_out = add_to_request(
        path, RequestFile((), (RequestedUrl("https://a.example/", "x" * 15_000),))
    )
    assert left_out == asked


def test_a_link_is_replaced_and_never_followed(tmp_path: Path) -> None:
    other, path = tmp_path / "other.toml", tmp_path / "airgap-request.toml"
    other.write_text("precious = 1")
    for target in (other, tmp_path / "nothing"):
        path.unlink(missing_ok=True)
        path.symlink_to(target)
        assert add_to_request(path, BOTH) == BOTH
        assert not path.is_symlink()
    assert other.read_text() == "precious = 1"
    assert not (tmp_path / "nothing").exists()


def test_a_file_that_is_no_request_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text("precious = 1")
    with pytest.raises(UsageError, match="precious is an unknown key"):
        add_to_request(path, BOTH)
    assert path.read_text() == "precious = 1"


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="cannot write"):
        add_to_request(tmp_path / "no" / "r.toml", BOTH)
    with pytest.raises(UsageError, match="cannot read the request"):
        load_request(tmp_path / "no")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="it is not a regular file"):
        load_request(tmp_path / "pipe")


@pytest.mark.parametrize("name", ["my request.toml", "a\nb.toml", "x'y", "\x1b[0m", "\ud800"])
def test_the_name_of_the_file_stays_in_the_comment(name: str) -> None:
    text = BOTH.to_toml(name)
    assert tomllib.loads(text) == tomllib.loads(TEXT)
    assert text.encode()
