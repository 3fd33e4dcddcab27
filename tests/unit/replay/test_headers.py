"""Which headers prove who asks, which are passed on, which are kept."""

from __future__ import annotations

import pytest

from airgap.replay import headers
from airgap.replay.unrecordable import UnrecordableError


@pytest.mark.parametrize(
    "name",
    [
        "Authorization", "Cookie", "Proxy-Authorization", "Private-Token", "JOB-TOKEN",
        "X-Api-Key", "X-Auth-Token", "X-JFrog-Art-Api", "X-Amz-Security-Token", "X-NuGet-ApiKey",
        "npm-otp", "X_Secret", "Ocp-Apim-Subscription-Key", "X-Functions-Key", "X-License-Key",
        "X-Session-Id", "X-Anything", "X-HTTP-Method-Override", "X-Original-URL",
    ],
)  # fmt: skip
def test_credentials_are_known_by_name(name: str) -> None:
    assert headers.are_credentials((("Accept", "*/*"), (name, "x")))
    assert not headers.are_credentials(((name, ""),))


def test_what_package_managers_always_send_is_not_one() -> None:
    # npm 10, pip 25, Go 1.24, cargo 1.88, apt 2.6, curl 8 and BuildKit.
    names = (
        "User-Agent Accept Accept-Language Cache-Control Connection Pragma Range If-None-Match "
        "If-Modified-Since npm-auth-type npm-command npm-scope npm-session pacote-pkg-id "
        "pacote-req-type pacote-version pacote-integrity sec-fetch-mode Disable-Module-Fetch "
        "Cargo-Protocol X-Cargo-Index Keep-Alive X-Forwarded-For traceparent"
    )
    assert not headers.are_credentials(tuple((name, "x") for name in names.split()))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("User-Agent", "x ghp_0123456789abcdefABCDEF"),
        ("Referer", "https://h/?token=abc"),
        ("Referer", "https://u:p@h/"),
        ("Accept", "eyJhbGciOiJIUzI1NiJ9"),
    ],
)
def test_a_secret_in_a_usual_header_is_a_credential(name: str, value: str) -> None:
    assert headers.are_credentials(((name, value),))


def test_what_pip_says_of_itself_is_no_secret() -> None:
    value = 'pip/25.1 {"ci":null,"cpu":"x86_64","installer":{"name":"pip"},"python":"3.12"}'
    assert not headers.are_credentials((("User-Agent", value),))


@pytest.mark.parametrize(
    "named",
    [
        [("Location", "/" + "x" * 33_000)],
        [("Location", "/a\r\nb")],
        [("ETag", "x" * 30_000), ("Link", "x" * 30_000), ("Location", "/" + "x" * 30_000)],
        [*[("ETag", str(number)) for number in range(64)], ("Location", "/x")],
    ],
)
def test_headers_that_no_recording_holds_are_refused(named: list[tuple[str, str]]) -> None:
    with pytest.raises(UnrecordableError, match="larger than a recording holds"):
        headers.kept(named)


def test_conditions_compression_and_the_connection_are_not_passed_on() -> None:
    names = (
        "Host Accept-Encoding If-None-Match If-Modified-Since If-Range TE Upgrade "
        "Proxy-Authorization Content-Length Private X-Forwarded-Host Forwarded Via"
    )
    sent = tuple((name, "x") for name in names.split())
    sent += (("Connection", "close, Private"), ("Range", "bytes=0-"), ("Accept", "a"))
    sent += (("accept", "b"), ("Authorization", "Basic x"), ("User-Agent", "curl"))
    assert headers.passed_on(sent) == {
        "range": "bytes=0-",
        "accept": "a, b",
        "authorization": "Basic x",
        "user-agent": "curl",
    }


def test_answers_keep_what_clients_read_and_nothing_else() -> None:
    wanted = (
        ("Content-Type", "text/html"),
        ("ETag", 'W/"x"'),
        ("Vary", "Accept"),
        ("X-PyPI-Last-Serial", "1"),
        ("Location", "/x"),
        ("Link", '<https://h/?page=2>; rel="next"'),
        ("Content-Disposition", "attachment; filename=\xc3\xa4"),
    )
    dropped = (
        ("Set-Cookie", "a=b"),
        ("Date", "x"),
        ("Age", "1"),
        ("Content-Length", "1"),
        ("Transfer-Encoding", "chunked"),
        ("Strict-Transport-Security", "x"),
        ("Alt-Svc", "h3"),
        ("Server", "x"),
        ("X-Request-Id", "x"),
        ("ETag", "a\r\nb"),
        ("ETag", "x" * 40_000),
        ("Link", '<https://h/?token=abcdefgh>; rel="next"'),
    )
    assert headers.kept((*wanted, *dropped)) == wanted
    assert len(headers.kept([("ETag", "x")] * 1000)) == 64
