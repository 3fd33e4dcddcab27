from __future__ import annotations

import stat
from pathlib import Path

import pytest

from airgap.builder.arguments import BuildArguments
from airgap.bundle.contents import RecordingEntry
from airgap.errors import NotFoundError, UsageError
from airgap.oci.digest import digest_of
from airgap.oci.platform import native_platform, parse_platform
from airgap.offline.build import _shared, build_options, choose, requested_urls
from airgap.offline.inputs import BuildInputs
from airgap.replay.request import RequestKey
from airgap.store.bundle_set import BundleSet
from airgap.store.store import Store


def entry(name: str, dockerfile: str = "sha256:other") -> RecordingEntry:
    return RecordingEntry(name, f"sha256:{name}", dockerfile, (), "")


def chosen(
    entries: list[RecordingEntry], name: str = "", dockerfile: str = "sha256:d"
) -> list[str]:
    return [one.name for one in choose({one.name: one for one in entries}, name, dockerfile)]


def test_the_recording_of_the_very_dockerfile_is_taken() -> None:
    assert chosen([entry("a"), entry("b", "sha256:d")]) == ["b"]


def test_the_only_one_is_taken_for_a_dockerfile_that_has_changed() -> None:
    assert chosen([entry("a")]) == ["a"]


def test_without_any_a_build_may_still_need_none() -> None:
    assert chosen([]) == []


def test_of_several_one_must_be_named() -> None:
    with pytest.raises(UsageError) as caught:
        chosen([entry("a"), entry("b")])
    assert "a, b" in caught.value.remedy
    assert chosen([entry("a"), entry("b")], "a") == ["a"]


def test_of_several_of_the_same_dockerfile_one_must_be_named() -> None:
    with pytest.raises(UsageError) as caught:
        chosen([entry("a"), entry("b", "sha256:d"), entry("c", "sha256:d")])
    assert "b, c" in caught.value.remedy


def test_one_that_is_not_there_is_not_found() -> None:
    with pytest.raises(NotFoundError, match="the recording z"):
        chosen([entry("a")], "z")


def test_what_was_asked_for_later_comes_after_the_recording_the_last_first() -> None:
    entries = [entry("requested-1", ""), entry("a"), entry("requested-2", "")]
    assert chosen(entries) == ["a", "requested-2", "requested-1"]
    assert chosen(entries[:1]) == ["requested-1"]


def test_a_dockerfile_is_known_by_its_bytes() -> None:
    # printf 'FROM scratch\n' | sha256sum
    assert digest_of(b"FROM scratch\n") == (
        "sha256:bb57c7da220a8753d7bdabac0d3afdb6efa742e4c736c5bc93ab40dfd5e23b9b"
    )


def test_options_of_a_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROM_OUTSIDE", "value")
    monkeypatch.delenv("NOWHERE", raising=False)
    words = "--platform linux/amd64,linux/arm64 --platform linux/arm64 --target t --build-arg A=b"
    words += " --build-arg FROM_OUTSIDE --build-arg NOWHERE --build-context base=docker-image://x ."
    options = build_options(BuildArguments.parse(words.split()))
    assert options.platforms == (parse_platform("linux/amd64"), parse_platform("linux/arm64"))
    assert options.target == "t"
    assert options.args == {"A": "b", "FROM_OUTSIDE": "value"}
    assert options.contexts == {"base": "docker-image://x"}


def test_a_build_is_for_this_host_unless_it_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("DOCKER_DEFAULT_PLATFORM", raising=False)
    for words in (["."], ["--platform", "local", "."]):
        assert build_options(BuildArguments.parse(words)).platforms == (native_platform(),)
    monkeypatch.setenv("DOCKER_DEFAULT_PLATFORM", "linux/riscv64")
    default = build_options(BuildArguments.parse(["."])).platforms
    assert default == (parse_platform("linux/riscv64"),)
    both = build_options(BuildArguments.parse(["--platform", "local,linux/riscv64", "."]))
    assert both.platforms == (native_platform(), parse_platform("linux/riscv64"))


def test_builds_wait_for_each_other_where_other_users_cannot_hold_them_up(tmp_path: Path) -> None:
    """Every user can open the mirror's folder, and lock it."""
    stock = BuildInputs(BundleSet.of([]), Store(tmp_path / "mirror"), Store(tmp_path / "replay"))
    stock.mirror.root.mkdir(mode=0o755)
    with _shared(stock) as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    stock.replay.root.mkdir(mode=0o750)
    with _shared(stock) as folder:
        assert folder == stock.replay.root


@pytest.mark.parametrize(
    "accept",
    [
        "application/json; token=S3cr3tS3cr3t",
        "application/json; v=S3cr3tS3cr3t",
        "x/ghp_0123456789abcdefABCDEF",
        "x/y; to=https://u:S3cr3tS3cr3t@h/",
    ],
)
def test_no_secret_of_a_header_gets_into_a_request(accept: str) -> None:
    arguments = (("MY_TOKEN", "S3cr3tS3cr3t"),)
    missed = RequestKey("https://h/p", accept, "bytes=0-1").knowing(arguments)
    (url,) = requested_urls([missed]).urls
    assert (url.accept, url.range) == ("REDACTED", "bytes=0-1")
    assert "a secret was taken out" in url.obstacle


def test_a_header_without_a_secret_is_asked_for_as_it_was() -> None:
    missed = RequestKey("https://h/p", "application/json; q=0.8, */*").knowing((("V", "0.8,"),))
    (url,) = requested_urls([missed]).urls
    assert (url.accept, url.obstacle) == ("application/json; q=0.8, */*", "")
