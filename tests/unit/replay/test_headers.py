"""Which headers prove who asks, which are passed on, which are kept."""

from __future__ import annotations

import pytest

from airgap.replay import headers


@pytest.mark.parametrize(
    "name",
    [
        "Authorization", "Cookie", "Proxy-Authorization", "Private-Token", "JOB-TOKEN",
        "X-Api-Key", "X-Auth-Token", "X-JFrog-Art-Api", "X-Amz-Security-Token", "X-NuGet-ApiKey",
        "npm-otp", "X_Secret",
    ],
)  # fmt: skip
def test_credentials_are_known_by_name(name: str) -> None:
    assert headers.are_credentials((("Accept", "*/*"), (name, "x")))
    assert not headers.are_credentials(((name, ""),))


def test_what_package_managers_always_send_is_none() -> None:
    # npm 10, pip 25, Go 1.24, cargo 1.88, apt 2.6, curl 8 and BuildKit.
    names = (
        "User-Agent Accept Accept-Language Cache-Control Connection Pragma Range If-None-Match "
        "If-Modified-Since npm-auth-type npm-command npm-scope npm-session pacote-pkg-id "
        "pacote-req-type pacote-version pacote-integrity sec-fetch-mode Disable-Module-Fetch "
        "Cargo-Protocol X-Cargo-Index Keep-Alive X-Forwarded-For traceparent"
    )
    assert not headers.are_credentials(tuple((name, "x") for name in names.split()))


def test_conditions_compression_and_the_connection_are_not_passed_on() -> None:
    names = (
        "Host Accept-Encoding If-None-Match If-Modified-Since If-Range TE Upgrade "
        "Proxy-Authorization Content-Length Private"
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
