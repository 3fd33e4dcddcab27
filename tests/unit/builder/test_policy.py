"""The policy, read by the rules of BuildKit's engine: what a URL becomes, or that it is denied."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase

import pytest

from airgap.builder.policy import source_policy

_ADDRESS = "127.0.0.1:5055"
_MOST_CONVERSIONS = 20


def evaluated(identifier: str, *addresses: str) -> str:
    """What BuildKit asks for in its place; nothing if that is denied (`sourcepolicy/engine.go`)."""
    policies = [json.loads(source_policy(address)) for address in addresses or [_ADDRESS]]
    rules = [rule for policy in policies for rule in policy["rules"]]
    for _ in range(_MOST_CONVERSIONS):
        allowed, converted = True, ""
        for rule in rules:
            found = _match(rule["selector"], identifier)
            if found is None:
                continue
            if rule["action"] == "CONVERT":
                target = rule["updates"]["identifier"].replace("${1}", found)
                if target != identifier:
                    converted = target
                    break
            allowed = rule["action"] == "ALLOW"
        if not converted:
            return identifier if allowed else ""
        identifier = converted
    raise AssertionError("too many conversions")


def _match(selector: dict[str, str], identifier: str) -> str | None:
    pattern = selector["identifier"]
    if selector["match_type"] == "REGEX":
        found = re.search(pattern, identifier)
        return None if found is None else found.group(1) if found.groups() else ""
    if not fnmatchcase(identifier, pattern):
        return None
    prefix = pattern.partition("*")[0]
    return identifier.removeprefix(prefix)


@pytest.mark.parametrize(
    ("asked", "becomes"),
    [
        ("https://example.com/a?b=c", f"http://{_ADDRESS}/airgap/https/example.com/a?b=c"),
        ("https://example.com:443/", f"http://{_ADDRESS}/airgap/https/example.com:443/"),
        ("http://example.com/a", f"http://{_ADDRESS}/airgap/http/example.com/a"),
        ("http://127.example/a", f"http://{_ADDRESS}/airgap/http/127.example/a"),
        ("http://127.0.0.1:5000/v2/", f"http://{_ADDRESS}/airgap/http/127.0.0.1:5000/v2/"),
        ("http://127.0.0.1:50555/a", f"http://{_ADDRESS}/airgap/http/127.0.0.1:50555/a"),
        ("http://127.0.0.1:505/a", f"http://{_ADDRESS}/airgap/http/127.0.0.1:505/a"),
        ("http://127.0.0.1:5000/airgap", f"http://{_ADDRESS}/airgap/http/127.0.0.1:5000/airgap"),
        ("http://127.0.0.1:5000/", f"http://{_ADDRESS}/airgap/http/127.0.0.1:5000/"),
        ("http://127.0.0.1/a", f"http://{_ADDRESS}/airgap/http/127.0.0.1/a"),
        ("http://1/", f"http://{_ADDRESS}/airgap/http/1/"),
        ("http://10.89.0.5:4456/airgap/https/h/x", f"http://{_ADDRESS}/airgap/http/10.89.0.5:4456/airgap/https/h/x"),
        (f"http://{_ADDRESS}/airgap/https/example.com/a", f"http://{_ADDRESS}/airgap/https/example.com/a"),
    ],
)  # fmt: skip
def test_every_url_leads_to_the_server(asked: str, becomes: str) -> None:
    assert evaluated(asked) == becomes


@pytest.mark.parametrize(
    "asked",
    [
        f"http://{_ADDRESS}/airgap/v2/",
        "http://127.0.0.1:5000/airgap/",
        f"http://{_ADDRESS}/airgap/httpsx/a",
        "git://github.com/a/b",
        "git+https://github.com/a/b",
    ],
)
def test_nothing_else_is_allowed(asked: str) -> None:
    assert evaluated(asked) == ""


def test_images_are_left_to_the_mirror() -> None:
    name = "docker-image://docker.io/library/alpine:latest"
    assert evaluated(name) == name


def test_another_address_is_as_exact() -> None:
    address = "172.18.0.1:40123"
    assert evaluated("http://172.18.0.10:40123/", address).startswith(
        f"http://{address}/airgap/http/172"
    )
    assert evaluated("http://127.0.0.1:5055/airgap/https/a/", address).startswith(
        f"http://{address}/airgap/http/"
    )


@pytest.mark.parametrize("asked", ["https://h/a", "http://h/a", "http://127.0.0.1:5001/v2/"])
def test_with_the_rules_of_several_builds_the_server_of_one_answers(asked: str) -> None:
    addresses = [f"127.0.0.1:{port}" for port in (5055, 40123, 999)]
    becomes = f"http://{addresses[0]}/airgap/{asked.replace('://', '/', 1)}"
    assert evaluated(asked, *addresses) == becomes
    assert evaluated("http://127.0.0.1:5001/airgap/v2/", *addresses) == ""
