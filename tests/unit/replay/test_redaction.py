"""No secret stays in a URL that is shown, and a redacted URL is itself once more."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airgap.replay import redaction
from airgap.replay.redaction import arguments_of, hide, reveal, without_secrets

SECRET_NAMES = (
    "token", "access_token", "Private-Token", "api_key", "apikey", "key", "password", "secret",
    "sig", "signature", "Signature", "X-Amz-Signature", "X-Amz-Credential",
    "X-Amz-Security-Token", "X-Goog-Signature", "Policy", "Key-Pair-Id", "jwt", "%74oken",
)  # fmt: skip
PLAIN_NAMES = ("page", "v", "sv", "se", "X-Amz-Date", "go-get", "response-content-disposition")
SECRET = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=8, max_size=20)
TEXT = st.text("abcdefghijklmnopqrstuvwxyz/=;.%2F", max_size=12)


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("https://h/p", "https://h/p"),
        ("https://h/p?a=1&b=2", "https://h/p?a=1&b=2"),
        ("https://h/p?token=abc&b=2", "https://h/p?token=REDACTED&b=2"),
        ("https://h/p?a=1;token=abc", "https://h/p?a=1;token=REDACTED"),
        ("https://h/p?token=abc;def", "https://h/p?token=REDACTED"),
        ("https://h/p?TOKEN=abc=def", "https://h/p?TOKEN=REDACTED"),
        ("https://h/p?token=&token", "https://h/p?token=&token"),
        ("https://u:p@h/p@q?x=a@b", "https://h/p@q?x=a@b"),
        ("//u@h/p", "//h/p"),
        ("/p?sig=abc", "/p?sig=REDACTED"),
        ("?sig=abc#access_token=def&x=1", "?sig=REDACTED#access_token=REDACTED&x=1"),
        ("/p?to=https%3A%2F%2Fh%2F%3Ftoken%3Dabc&x=1", "/p?to=REDACTED&x=1"),
        ("/p?to=https%3A%2F%2Fu%3Ap%40h%2F", "/p?to=REDACTED"),
        ("/p?to=https%3A%2F%2Fh%2F%3Fpage%3D2", "/p?to=https%3A%2F%2Fh%2F%3Fpage%3D2"),
    ],
)
def test_secrets_are_taken_out_of_urls(url: str, clean: str) -> None:
    assert without_secrets(url) == clean
    assert redaction.has_secrets(url) is (url != clean)


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_known_parameters_are_secret(name: str) -> None:
    assert (
        without_secrets(f"https://h/?a=b&{name}=value&c=d") == f"https://h/?a=b&{name}=REDACTED&c=d"
    )


@pytest.mark.parametrize("name", PLAIN_NAMES)
def test_other_parameters_are_not(name: str) -> None:
    assert not redaction.has_secrets(f"https://h/?{name}=value")


@given(st.text("abct:/?#&=;@%.oken0123456789[]", max_size=60))
def test_a_redacted_url_is_itself_once_more(url: str) -> None:
    once = without_secrets(url)
    assert without_secrets(once) == once
    assert not redaction.has_secrets(once)


@given(
    st.sampled_from(["https://h", "//h", "", "https://u:SECRETUSER@h:8443"]),
    TEXT,
    st.lists(st.tuples(st.sampled_from(PLAIN_NAMES), TEXT), max_size=3),
    st.lists(st.tuples(st.sampled_from(SECRET_NAMES), SECRET), min_size=1, max_size=3),
    st.randoms(),
)
def test_no_secret_stays(
    host: str,
    path: str,
    plain: list[tuple[str, str]],
    secret: list[tuple[str, str]],
    random: object,
) -> None:
    pairs = [*plain, *secret]
    random.shuffle(pairs)  # type: ignore[attr-defined]
    url = f"{host}/{path}?" + "&".join(f"{name}={value}" for name, value in pairs)
    clean = without_secrets(url).replace("REDACTED", "")
    assert not [value for _, value in secret if value in clean]
    assert "SECRETUSER" not in clean


def test_values_of_arguments_give_way_to_their_names() -> None:
    arguments = arguments_of({"VERSION": "1.2.3", "TOKEN": "a b/c", "SHORT": "x86"})
    assert arguments == (("TOKEN", "a b/c"), ("VERSION", "1.2.3"))
    text = "https://h/v1.2.3/a%20b%2Fc/a%20b/c/x86.tar"
    assert hide(text, arguments) == "https://h/v{VERSION}/{TOKEN%}/{TOKEN%}/x86.tar"


def test_the_longest_value_counts_and_names_stay_whole() -> None:
    arguments = arguments_of({"A": "1.22", "B": "1.22.5", "C": "NAME", "NAME": "1.22.5"})
    assert hide("go1.22.5-1.22", arguments) == "go{B}-{A}"
    assert hide("{NAME}/NAME", arguments) == "{NAME}/{C}"


def test_what_is_hidden_is_put_back_from_the_arguments_of_another_build() -> None:
    hidden = hide("/v1.2.3/x%20y", arguments_of({"VERSION": "1.2.3", "Q": "x y "}))
    assert hidden == "/v{VERSION}/x%20y"
    assert reveal(hidden, arguments_of({"VERSION": "2.0.0"})) == "/v2.0.0/x%20y"
    assert reveal(hidden, ()) == hidden


VALUES = st.text("abcd /%1.{}:", min_size=4, max_size=8)
ARGUMENTS = st.dictionaries(st.sampled_from(["A", "VERSION", "NAME_2"]), VALUES)


@given(st.text("abcd/%1.2F:", max_size=30), ARGUMENTS, st.lists(st.sampled_from(range(3))))
def test_hiding_and_revealing_are_inverse(
    text: str, mapping: dict[str, str], places: list[int]
) -> None:
    arguments = arguments_of(mapping)
    values = [quote(value, safe="") for _, value in arguments]
    text += "".join(values[place] for place in places if place < len(values))
    hidden = hide(text, arguments)
    assert hide(hidden, arguments) == hidden
    revealed = reveal(hidden, arguments)
    # What a value is may be written in two ways in a URL; both mean the same.
    assert quote(revealed, safe="%").replace("%2F", "/") == quote(text, safe="%").replace(
        "%2F", "/"
    )


@pytest.mark.parametrize(
    ("name", "secret"),
    [("NPM_TOKEN", True), ("password", True), ("AUTH", True), ("VERSION", False), ("GOOS", False)],
)
def test_names_of_arguments_say_which_are_secret(name: str, secret: bool) -> None:
    assert redaction.is_secret_name(name) is secret


def test_an_argument_is_found_in_either_form() -> None:
    arguments = arguments_of({"TOKEN": "a/b c", "KEY": "wxyz"})
    assert redaction.used_in("/x/a%2Fb%20c", arguments) == ["TOKEN"]
    assert redaction.used_in("/x?q=a/b+c", arguments) == ["TOKEN"]
    assert redaction.used_in("/x", arguments) == []
