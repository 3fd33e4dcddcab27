"""The policy, read by the rules of BuildKit's engine: what a URL becomes, or that it is denied."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from typing import Any

import pytest

from airgap.builder.policy import source_policy

_ADDRESS = "127.0.0.1:5055"
_FIRST = "airgap-0123456789abcdef"
_BASE = f"{_ADDRESS}/{_FIRST}"
_MOST_CONVERSIONS = 20


def evaluated(identifier: str, *addresses: str) -> str:
    """What BuildKit asks for in its place; nothing if that is denied (`sourcepolicy/engine.go`)."""
    policies = [json.loads(source_policy(f"{one}/{_FIRST}")) for one in addresses or [_ADDRESS]]
    rules = [rule for policy in policies for rule in policy["rules"]]
    for _ in range(_MOST_CONVERSIONS):
        allowed, converted = True, ""
        for rule in rules:
            if not _matches(rule["selector"], identifier):
                continue
            if rule["action"] == "CONVERT":
                target = _target(rule, identifier)
                if target != identifier:
                    converted = target
                    break
            allowed = rule["action"] == "ALLOW"
        if not converted:
            return identifier if allowed else ""
        identifier = converted
    raise AssertionError("too many conversions")


def _target(rule: dict[str, Any], identifier: str) -> str:
    pattern, target = rule["selector"]["identifier"], rule["updates"]["identifier"]
    if rule["selector"]["match_type"] == "WILDCARD":
        return str(target.replace("${1}", identifier.removeprefix(pattern.removesuffix("*"))))
    return re.sub(pattern, re.sub(r"\$\{(\d)\}", r"\\\1", target), identifier)


def _matches(selector: dict[str, str], identifier: str) -> bool:
    pattern = selector["identifier"]
    if selector["match_type"] == "REGEX":
        return re.search(pattern, identifier) is not None
    return fnmatchcase(identifier, pattern)


@pytest.mark.parametrize(
    ("asked", "becomes"),
    [
        ("https://example.com/a?b=c", f"http://{_BASE}/https/example.com/a?b=c"),
        ("https://example.com:443/", f"http://{_BASE}/https/example.com:443/"),
        ("http://example.com/a", f"http://{_BASE}/http/example.com/a"),
        ("http://127.example/a", f"http://{_BASE}/http/127.example/a"),
        ("http://127.0.0.1:5000/v2/", f"http://{_BASE}/http/127.0.0.1:5000/v2/"),
        ("http://127.0.0.1:50555/a", f"http://{_BASE}/http/127.0.0.1:50555/a"),
        ("http://127.0.0.1:505/a", f"http://{_BASE}/http/127.0.0.1:505/a"),
        ("http://127.0.0.1:5000/airgap", f"http://{_BASE}/http/127.0.0.1:5000/airgap"),
        ("http://127.0.0.1:5000/", f"http://{_BASE}/http/127.0.0.1:5000/"),
        ("http://127.0.0.1/a", f"http://{_BASE}/http/127.0.0.1/a"),
        ("http://1/", f"http://{_BASE}/http/1/"),
        ("http://10.89.0.5:4456/airgap/https/h/x", f"http://{_BASE}/http/10.89.0.5:4456/airgap/https/h/x"),
        (f"http://{_BASE}/https/example.com/a", f"http://{_BASE}/https/example.com/a"),
    ],
)  # fmt: skip
def test_every_url_leads_to_the_server(asked: str, becomes: str) -> None:
    assert evaluated(asked) == becomes


@pytest.mark.parametrize(
    "asked",
    [
        f"http://{_BASE}/v2/",
        f"http://127.0.0.1:5000/{_FIRST}/",
        f"http://127.0.0.1:5000/{_FIRST}/https/h/../../../v2/",
        f"http://127.0.0.1:5000/{_FIRST}/https/%2E%2e/x",
        "https://h/../../x",
        "http://h/a/..",
        "https://h/a/.%2e/b?c",
        "https://h/a%2F..;x/b",
        "HTTPS://h/a",
        "ftp://h/a",
        "ws://h/a",
        "http:127.0.0.1:5000/v2/",
        "file:///etc/passwd",
        "",
        f"http://{_BASE}/httpsx/a",
        "git://github.com/a/b",
        "git+https://github.com/a/b",
    ],
)
def test_nothing_else_is_allowed(asked: str) -> None:
    assert evaluated(asked) == ""


@pytest.mark.parametrize(
    "name",
    ["docker-image://docker.io/library/alpine:latest", "oci-layout://a/b@sha256:0", "local://dir"],
)
def test_images_and_folders_are_left_alone(name: str) -> None:
    assert evaluated(name) == name


def test_another_address_is_as_exact() -> None:
    address = "172.18.0.1:40123"
    assert evaluated("http://172.18.0.10:40123/", address).startswith(
        f"http://{address}/{_FIRST}/http/172"
    )
    assert evaluated("http://127.0.0.1:5055/airgap/https/a/", address).startswith(
        f"http://{address}/{_FIRST}/http/"
    )


@pytest.mark.parametrize("asked", ["https://h/a", "http://h/a", "http://127.0.0.1:5001/v2/"])
def test_with_the_rules_of_several_builds_the_server_of_one_answers(asked: str) -> None:
    addresses = [f"127.0.0.1:{port}" for port in (5055, 40123, 999)]
    becomes = f"http://{addresses[0]}/{_FIRST}/{asked.replace('://', '/', 1)}"
    assert evaluated(asked, *addresses) == becomes
    other = f"http://127.0.0.1:5001/{_FIRST}"
    assert evaluated(f"{other}/https/h/a", *addresses) == f"{other}/https/h/a"
    assert evaluated(f"{other}/v2/", *addresses) == ""
    assert evaluated(f"{other}/https/../a", *addresses) == ""


def test_a_path_of_another_token_is_one_like_any_other() -> None:
    guessed = f"127.0.0.1:5001/airgap-{'0' * 16}/https/h/a"
    assert evaluated(f"http://{guessed}") == f"http://{_BASE}/http/{guessed}"


def test_apt_s_way_to_name_a_folder_is_the_folder() -> None:
    becomes = f"http://{_BASE}/https/h/debian/InRelease?a=/./"
    assert evaluated("https://h/./debian/././InRelease?a=/./") == becomes
