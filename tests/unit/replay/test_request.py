"""Requests are understood in their two forms, and in no other."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from airgap.replay.request import (
    RequestKey,
    Route,
    base_of,
    clean_location,
    led_to,
    loose,
    normal_url,
    own_path,
    read_path,
)


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("/https/h:443/p", "https://h/p"),
        ("/https/H.Example/P?Q=R", "https://h.example/P?Q=R"),
        ("/http/h:80/p", "http://h/p"),
        ("/http/h:443/p", "http://h:443/p"),
        ("/https/h:8443/", "https://h:8443/"),
        ("/https/h", "https://h/"),
        ("/https/h?x=1", "https://h/?x=1"),
        ("/https/[::1]:443/p", "https://[::1]/p"),
        ("/https/h//p/..q/.../q..%2F?a=/../", "https://h//p/..q/.../q..%2F?a=/../"),
        ("/https/h/./debian/././InRelease?a=/./", "https://h/debian/InRelease?a=/./"),
        ("/https/h/{A}%7b}?{B%}", "https://h/%7BA%7D%7b%7D?%7BB%%7D"),
    ],
)
def test_a_path_names_a_url(path: str, url: str) -> None:
    assert read_path(path) == Route(url)


@pytest.mark.parametrize(
    "path",
    [
        "", "/", "/v2/", "/https", "/https/", "/https//p", "/ftp/h/p", "/HTTPS/h/p", "https/h/p",
        "/https/h:0/p", "/https/h:65536/p", "/https/h:x/p", "/https/h p/", "/https/h/a b",
        "/https/h/\xe4", "/https/a%20b/", "/http:/h/", "//https/h/p", "/https/h#/x",
        "/airgap/https/h/p", "/airgap", "/https/../p", "/https/h/./../p", "/https/h/.",
        "/https/h/" + "a" * 40_000,
    ],
)  # fmt: skip
def test_other_paths_name_nothing(path: str) -> None:
    assert read_path(path) is None


def test_what_a_mirror_is_asked_leads_back_to_it() -> None:
    route = read_path("/http/10.89.1.2:41234/airgap/https/repo.example/m2/a.pom?x=1")
    assert route == Route(
        "https://repo.example/m2/a.pom?x=1", back="http://10.89.1.2:41234/airgap/"
    )
    assert read_path("/http/10.89.1.2:41234/airgap/nothing") == Route(
        "http://10.89.1.2:41234/airgap/nothing"
    )
    assert read_path("/http/h/airgap/https//p") is None
    # Only BuildKit's proxy, which speaks plain HTTP, is asked like that.
    assert read_path("/https/h/airgap/https/x/p") == Route("https://h/airgap/https/x/p")


DOT = st.sampled_from(
    [
        ".",
        "%2e",
        "%2E",
        "%252e",
        "%25252E",
        "%%32e",
        "%2%65",
        "%c0%ae",
        "%e0%80%AE",
        "%f0%80%80%ae",
        "%25c0%25ae",
        "%u002e",
        "%uFF0E",
        "%ef%bc%8e",
    ]
)
SLASH = st.sampled_from(
    [
        "/",
        "\\",
        "%2f",
        "%2F",
        "%5C",
        "%252f",
        "%25255c",
        "%c0%af",
        "%c1%9C",
        "%e0%80%af",
        "%25c0%25af",
        "%u002F",
        "%u005c",
        "%ef%bc%8f",
    ]
)
END = st.one_of(SLASH, st.sampled_from(["", "?x", ";x", ";/", "%3b", "%00", "%20", "%250a"]))


@given(SLASH, st.lists(DOT, min_size=1, max_size=2), END, st.text("ab/", max_size=5))
def test_no_path_has_dot_segments_in_any_encoding(
    slash: str, dots: list[str], end: str, more: str
) -> None:
    asked = f"{slash}{''.join(dots)}{end}{more if end else ''}"
    assume("/./" not in asked)  # it means nothing
    assert read_path(f"/https/h/a{asked}") is None
    assert led_to("https://h/", f"https://h/a%2f..%2fb{asked}") is None


def test_the_secret_part_of_a_path_is_known_or_not() -> None:
    assert base_of("127.0.0.1:1", "abc") == "127.0.0.1:1/airgap-abc"
    assert own_path("/airgap-abc/https/h/p", "abc") == "/https/h/p"
    for other in ("/airgap-abcd/https/h/p", "/airgap/https/h/p", "/https/h/p", "", "/\xe4/", "x"):
        assert own_path(other, "abc") is None


def test_user_and_password_are_no_part_of_the_url() -> None:
    assert read_path("/https/u:p%40@h:443/p@q") == Route("https://h/p@q", "u:p%40")


@given(st.text(max_size=60))
def test_any_path_is_understood_or_not(text: str) -> None:
    route = read_path(text)
    assert route is None or normal_url(route.url) == route.url


def test_the_key_goes_by_url_accept_and_range() -> None:
    url = "https://h/p?x=1&token=abcdefgh"
    keys = {
        asked.key
        for asked in (
            RequestKey(url),
            RequestKey("https://h/p?x=2&token=abcdefgh"),
            RequestKey(url, accept="text/html"),
            RequestKey(url, range="bytes=0-1"),
        )
    }
    assert len(keys) == 4
    assert RequestKey(url, head=True, credentials=True).key == RequestKey(url).key
    assert RequestKey("https://h/p?x=1&token=REDACTED").key == RequestKey(url).key
    assert RequestKey(url, range="bytes=0-1").whole().key == RequestKey(url).key


def test_the_key_does_not_go_by_secret_arguments() -> None:
    first, second = (
        RequestKey("https://h/" + value).knowing((("MY_TOKEN", value), ("OTHER", "1.2.3.4")))
        for value in ("canary-1", "canary-2")
    )
    assert first.key == second.key
    assert first.key != RequestKey("https://h/canary-1").key


def test_nothing_that_is_printed_shows_secrets() -> None:
    asked = RequestKey("https://h/1.2.3/?token=canary-1").knowing((("V", "1.2.3"),))
    assert asked.shown == "https://h/{V}/?token=REDACTED"
    assert "canary" not in f"{asked!r} {asked}"
    assert "1.2.3" not in repr(asked)


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/b", "https://h:8443/b"),
        ("b", "https://h:8443/p/b"),
        ("../b", "https://h:8443/b"),
        ("?x=1", "https://h:8443/p/a?x=1"),
        ("//o/b", "https://o/b"),
        ("HTTP://O:80/b#f", "http://o/b"),
        ("https://o", "https://o/"),
        ("ftp://o/b", None),
        ("mailto:x", None),
        ("https://[o/b", None),
        ("", None),
    ],
)
def test_a_redirect_leads_to_a_url(location: str, url: str | None) -> None:
    route = led_to("https://h:8443/p/a", location)
    assert (route.url if route else None) == url


def test_a_location_is_cleaned_as_clients_do_it() -> None:
    assert clean_location("/{TOKEN}/{A%}") == "/%7BTOKEN%7D/%7BA%%7D"
    assert clean_location(" /a b\xc3\xa4?x=%20#frag ") == "/a%20b%C3%A4?x=%20"


def test_encodings_that_mean_the_same_are_one() -> None:
    assert loose("https://h/a%2Fb%7E?x=%22") == loose('https://h/a/b~?x="')
