"""What a failed exchange with a registry means: the error, its kind, and whether to try again."""

from __future__ import annotations

import email.utils
from datetime import UTC, datetime, timedelta

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from requests.exceptions import ConnectTimeout, ProxyError, SSLError, TooManyRedirects
from urllib3.exceptions import (
    IncompleteRead,
    MaxRetryError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
)

from airgap.errors import (
    AirgapError,
    CredentialsError,
    IntegrityError,
    NotFoundError,
    UpstreamError,
)
from airgap.oci import errors
from airgap.oci.reference import parse_reference
from airgap.oci.registries import Endpoint
from airgap.oci.retry import TemporaryError

PLACE = Endpoint("docker.io", "registry-1.docker.io", "library/app")
HOSTILE = [
    "9" * 400,
    "9" * 5_000,
    "\u00b2",
    "\u00b9\u00b2",
    "-1",
    "1.5",
    "nan",
    "inf",
    "1e999",
    "Wed, 21 Oct 99999999999999999999 07:28:00 GMT",
    f"Wed, 21 Oct {'9' * 5_000} 07:28:00 GMT",
    "Wed, 21 Oct 0000 07:28:00 GMT",
    "Wed, 21 Oct 0001 00:00:00 -0000",
    "Wed, 21 Oct 9999 23:59:59 -2359",
    "Wed, 21 Oct 2026 07:28:00 +99999999999999999999",
    f"Wed, 21 Oct 2026 07:28:00 +{'9' * 5_000}",
]


def answered(status: int, **headers: str) -> requests.Response:
    response = requests.Response()
    response.status_code = status
    for name, value in headers.items():
        response.headers[name.replace("_", "-")] = value
    return response


def failed(status: int, path: str = "manifests/1", **headers: str) -> AirgapError:
    return errors.bad_status(PLACE, answered(status, **headers), path)


def wait(value: str) -> float:
    """The seconds that a server wants which says so."""
    error = failed(429, Retry_After=value)
    assert isinstance(error, TemporaryError)
    return error.retry_after


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("manifests/1.2", "docker.io has no manifest 1.2 in library/app"),
        ("blobs/sha256:ab", "docker.io has no blob sha256:ab in library/app"),
    ],
)
def test_what_is_not_there_is_named(path: str, message: str) -> None:
    error = failed(404, path)
    assert isinstance(error, NotFoundError)
    assert error.message == message


@pytest.mark.parametrize("status", [401, 403])
def test_who_is_refused_should_log_in(status: int) -> None:
    error = failed(status)
    assert isinstance(error, CredentialsError)
    assert error.remedy.endswith("docker login docker.io")


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 599])
def test_some_answers_may_be_others_later(status: int) -> None:
    error = failed(status)
    assert isinstance(error, TemporaryError)
    assert error.message == f"docker.io answered {status} for library/app"
    assert error.kind == f"answered {status}"
    assert error.overload == (status == 429)
    assert not error.first_contact
    assert error.retry_after == 0


@pytest.mark.parametrize("status", [204, 206, 304, 400, 405, 416, 418])
def test_other_answers_stay_what_they_are(status: int) -> None:
    error = failed(status)
    assert type(error) is UpstreamError
    assert error.message == f"docker.io answered {status} for library/app"


def test_a_rate_limit_is_told_with_all_that_the_server_says() -> None:
    error = failed(
        429,
        Retry_After="60",
        ratelimit_limit="100;w=21600",
        ratelimit_remaining="0;w=21600",
    )
    assert error.meaning == (
        "It limits how often it may be asked, try again in 60 seconds, "
        "0 of 100 requests remain in 360 min."
    )


def test_a_rate_limit_is_told_though_the_server_says_nothing() -> None:
    assert failed(429).meaning == "It limits how often it may be asked."


def test_a_server_error_without_hints_has_no_meaning_of_its_own() -> None:
    assert failed(503).meaning == ""


def test_a_server_that_is_busy_says_when_to_come_again() -> None:
    date = "Wed, 21 Oct 2026 07:28:00 GMT"
    assert failed(503, Retry_After=date).meaning == f"try again after {date}."


@pytest.mark.parametrize(
    ("limit", "left", "told"),
    [
        ("100;w=21600", "76;w=21600", "76 of 100 requests remain in 360 min"),
        ("100", "76", "76 of 100 requests remain"),
        ("100;w=soon", "76", "76 of 100 requests remain"),
        ("100;w=\u00b2", "76", "76 of 100 requests remain"),
        ("100;w=21600", "", ""),
    ],
)
def test_what_remains_is_told_as_far_as_it_is_understood(limit: str, left: str, told: str) -> None:
    response = answered(200, ratelimit_limit=limit, ratelimit_remaining=left)
    assert errors.remaining(response) == told


def test_an_enormous_window_is_told_in_few_words() -> None:
    response = answered(200, ratelimit_limit=f"1;w={'9' * 5_000}", ratelimit_remaining="9" * 5_000)
    assert len(errors.remaining(response)) < 200


def test_nothing_remains_to_tell_where_the_server_says_nothing() -> None:
    assert errors.remaining(answered(200)) == ""


@pytest.mark.parametrize(("value", "seconds"), [("0", 0), ("1", 1), ("120", 120), ("", 0)])
def test_a_server_may_say_for_how_long_it_wants_to_be_left_alone(value: str, seconds: int) -> None:
    assert wait(value) == seconds


def test_a_server_may_say_until_when_it_wants_to_be_left_alone() -> None:
    then = datetime.now(UTC) + timedelta(seconds=90)
    assert 85 < wait(email.utils.format_datetime(then, usegmt=True)) <= 90


def test_a_moment_that_has_passed_is_no_wait() -> None:
    assert wait("Wed, 21 Oct 2015 07:28:00 GMT") == 0


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: value[:24])
def test_a_strange_wait_is_an_answer_like_any_other(value: str) -> None:
    assert wait(value) >= 0
    assert len(failed(429, Retry_After=value).meaning) < 200


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(max_size=40), st.from_regex(r"[A-Z][a-z]{2}, [0-9 :+-]{0,30}")))
def test_no_header_breaks_the_error_that_tells_of_it(value: str) -> None:
    error = failed(429, Retry_After=value, ratelimit_limit=value, ratelimit_remaining=value)
    assert isinstance(error, TemporaryError)
    assert error.retry_after >= 0


def refused_connection() -> requests.ConnectionError:
    """As requests wraps it."""
    cause = ConnectionRefusedError(111, "Connection refused")
    new = NewConnectionError(None, "Failed to establish")  # type: ignore[arg-type]
    new.__cause__ = cause
    return requests.ConnectionError(MaxRetryError(None, "/v2/", new))  # type: ignore[arg-type]


@pytest.mark.parametrize("heard", [True, False])
def test_a_server_that_cannot_be_reached_is_temporary(heard: bool) -> None:
    error = errors.unreachable(PLACE, refused_connection(), answered=heard)
    assert isinstance(error, TemporaryError)
    assert error.message == "registry-1.docker.io cannot be reached (Connection refused)"
    assert error.first_contact is not heard
    assert not error.overload


def test_a_server_that_does_not_answer_in_time_may_have_too_much_to_do() -> None:
    error = errors.unreachable(PLACE, ConnectTimeout("timed out"), answered=True)
    assert isinstance(error, TemporaryError)
    assert error.overload


def test_a_proxy_that_fails_is_named_as_the_way() -> None:
    error = errors.unreachable(PLACE, ProxyError("Tunnel: 502"), answered=True)
    assert "cannot be reached through the proxy" in error.message


def test_a_certificate_that_is_not_trusted_is_final() -> None:
    error = errors.unreachable(PLACE, SSLError("[SSL: CERTIFICATE_VERIFY_FAILED]"), answered=True)
    assert type(error) is UpstreamError
    assert '[registry."docker.io"] ca =' in error.remedy


def test_a_circle_of_redirects_is_final() -> None:
    error = errors.unreachable(PLACE, TooManyRedirects("30"), answered=True)
    assert type(error) is UpstreamError
    assert "redirects in a circle" in error.message


@pytest.mark.parametrize(
    ("error", "overload"),
    [
        ("7 bytes are missing", False),
        (ProtocolError("broken", IncompleteRead(3, 7)), False),
        (ConnectionResetError(104, "Connection reset by peer"), False),
        (ReadTimeoutError(None, "/", "Read timed out."), True),  # type: ignore[arg-type]
        (TimeoutError("timed out"), True),
    ],
)
def test_an_answer_that_broke_off_says_of_what_and_why(
    error: BaseException | str, overload: bool
) -> None:
    broken = errors.broke_off("the config", error)
    assert broken.message.startswith("the connection broke while the config was read (")
    assert broken.kind == "the connection broke"
    assert broken.overload is overload
    text = error if isinstance(error, str) else errors.reason(error)
    assert text
    assert f"({text})" in broken.message


def test_an_answer_that_crawls_says_how_slowly() -> None:
    error = errors.too_slow("the config", 12, 30.2)
    assert error.message == "the config came too slowly: 12 bytes in 30 s"
    assert error.overload


def test_other_bytes_name_both_digests() -> None:
    error = errors.wrong_digest(parse_reference("a.internal/b:1"), "sha256:aa", "sha256:bb")
    assert isinstance(error, IntegrityError)
    assert "the bytes served are sha256:bb, and sha256:aa was asked for" in error.message


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (refused_connection(), "Connection refused"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (ValueError("outer: inner"), "inner"),
        (ValueError(), "ValueError"),
        (ProtocolError("outer", ConnectionResetError(104, "reset")), "reset"),
    ],
)
def test_the_reason_is_the_innermost_sentence(error: BaseException, text: str) -> None:
    assert errors.reason(error) == text
