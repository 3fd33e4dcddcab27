"""What is shown of what BuildKit says."""

from __future__ import annotations

import pytest

from airgap.builder.buildx_build import shown

SERVER = "127.0.0.1:4711/airgap-0a"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            "#6 0.1 - GET http://127.0.0.1:4711/airgap-0a/https/h:443/f?token=canary&a=1 -> 200\n",
            "#6 0.1 - GET https://h/f?token=REDACTED&a=1 -> 200\n",
        ),
        (
            "0.1 - GET http://127.0.0.1:4711/airgap-0a/http/h:8080/canary-argument/f -> 403\n",
            "0.1 - GET http://h:8080/{NAME}/f -> 403\n",
        ),
        (
            "#1 checking policy for source http://127.0.0.1:4712/airgap-0a/https/h/f?sig=canary",
            "#1 checking policy for source https://h/f?sig=REDACTED",
        ),
        (
            "decision for http://127.0.0.1:9/airgap-0a/https/h/f: DENY",
            "decision for https://h/f: DENY",
        ),
        ("- GET http://127.0.0.1:4711/airgap-0a/what?canary -> 400\n", "- GET ... -> 400\n"),
        ("the path is /airgap-0a/x\n", "the path is /airgap/x\n"),
        ("#6 0.1 hello http://127.0.0.1:4711/\n", "#6 0.1 hello http://127.0.0.1:4711/\n"),
    ],
)
def test_urls_are_shown_as_they_were_asked_for_without_secrets(said: str, expected: str) -> None:
    assert shown(SERVER, (("NAME", "canary-argument"),), said) == expected
