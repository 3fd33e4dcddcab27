"""No secret stays in a URL that is shown, and a redacted URL is itself once more."""

from __future__ import annotations

from random import Random
from urllib.parse import quote, unquote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from airgap.replay import redaction
from airgap.replay.redaction import (
    arguments_of,
    hide,
    reveal,
    secret_arguments,
    without_places,
    without_secrets,
)
from airgap.replay.secret import is_secret_name, is_secret_value

SECRET_NAMES = (
    "token", "access_token", "Private-Token", "api_key", "apikey", "key", "password", "secret",
    "sig", "signature", "Signature", "X-Amz-Signature", "X-Amz-Credential",
    "X-Amz-Security-Token", "X-Goog-Signature", "Policy", "Key-Pair-Id", "jwt", "%74oken",
    "license_key", "github_token", "npm_token", "ci_job_token", "session_token", "x-api-key",
    "private_key", "api_secret", "%2574oken", "passPhrase", "auth[token]", "user.credentials",
    "authorToken", "designKey", "signed_secret", "OAuth", "clientAssertionJWT", "awsSig", "otp",
    "client_assertion", "PHPSESSID", "connect.sid", "pw", "gh_pat", "access_token[]", "a;token",
)  # fmt: skip
PLAIN_NAMES = (
    "page", "v", "sv", "se", "X-Amz-Date", "go-get", "response-content-disposition", "author",
    "keywords", "keyserver", "monkey", "signed-by", "design", "compass", "tokenizer", "bypass",
    "path", "side", "compat", "format",
)  # fmt: skip
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
        ("/p?to=https%253A%252F%252Fh%252F%253Ftoken%253Dabc", "/p?to=REDACTED"),
        ("/p?to=https://h/?token=abc&x=1", "/p?to=REDACTED&x=1"),
        ("/p?to=https://u:p@h/", "/p?to=REDACTED"),
        ("/p?q=%7B%22apiKey%22%3A%22abc%22%7D", "/p?q=REDACTED"),
        ("/https://u:p@h/a", "/https://REDACTED@h/a"),
        ("/a;v=1;jsessionid=abc/b", "/a;v=1;jsessionid=REDACTED/b"),
        ("/p#/done?token=abc", "/p#/done?token=REDACTED"),
        ("/https%3A%2F%2Fu%3Apw1%40h.example/a", "/REDACTED/a"),
        ("/https%253A%252F%252Fh%252F%253Ftoken%253Dabc/a", "/REDACTED/a"),
        ("/https:/u:p@h/a", "/https:/REDACTED@h/a"),
        ("/https://abc@h/a", "/https://REDACTED@h/a"),
        ("/u:p@h.example:80/a", "/REDACTED/a"),
        ("/https%3A//u%3Ap%40h.example/a", "/https%3A//REDACTED/a"),
        ("/p?to=u:p@h.example&x=1", "/p?to=REDACTED&x=1"),
        ("/p?to=u%3Ap%40127.0.0.1%3A80", "/p?to=REDACTED"),
        ("/p?to=https:%5C%5Cu:p@h", "/p?to=REDACTED"),
        ("/p?h=Authorization:%20abc", "/p?h=REDACTED"),
        ("/p?h=PRIVATE-TOKEN:++abc", "/p?h=REDACTED"),
        ("/p?h=%7B%22apiKey%22%20:%20%20%22abc%22%7D", "/p?h=REDACTED"),
        (
            "/npm:react@18.2.0/image:1.0@sha256:abc/@a/b",
            "/npm:react@18.2.0/image:1.0@sha256:abc/@a/b",
        ),
        ("/p?q=g:com.auth0+AND+a:java-jwt", "/p?q=g:com.auth0+AND+a:java-jwt"),
        ("/services/T01234567/B01234567/0123456789abcdefABCD", "/services/REDACTED"),
        ("/p?x=1//0abcdefghijklmnopqrstuvwxyz", "/p?x=REDACTED"),
        ("/p?who=acct:a@b.example", "/p?who=acct:a@b.example"),
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


@pytest.mark.parametrize(
    "unit",
    [
        *("a=", "a", ";", "//:", "%25", "xoxa-", "sk-a-", "'\"", "eyJ.", ":\\", "a:a@", "T/B"),
        *("0:AA", "dp.pt.", "https://", "-----BEGIN ", "a: ", '": '),
    ],
)
def test_a_long_url_of_somebody_else_is_read_in_time_that_grows_with_it(unit: str) -> None:
    """A pattern that tries from each character would take minutes, and a recursion would end."""
    long = unit * (30_000 // len(unit))
    for url in (f"https://h/{long}", f"https://h/?a={long}", f"https://h/#{long}"):
        assert without_secrets(without_secrets(url)) == without_secrets(url)


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
    assert hide("{NAME}/NAME", arguments) == "%7B{C}%7D/{C}"


def test_what_is_hidden_is_put_back_from_the_arguments_of_another_build() -> None:
    hidden = hide("/v1.2.3/x%20y", arguments_of({"VERSION": "1.2.3", "Q": "x y "}))
    assert hidden == "/v{VERSION}/x%20y"
    assert reveal(hidden, arguments_of({"VERSION": "2.0.0"})) == "/v2.0.0/x%20y"
    assert reveal(hidden, ()) == hidden


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a b\r\nX: y", "a%20b%0D%0AX:%20y"),
        ("日本", "%E6%97%A5%E6%9C%AC"),
        ("a/%2f?b=c", "a/%2f?b=c"),
        ("ab\udcff", "ab%FF"),
    ],
)
def test_what_is_put_back_is_a_url_whatever_an_argument_is(value: str, shown: str) -> None:
    assert reveal("/v{VERSION}/", (("VERSION", value),)) == f"/v{shown}/"
    encoded = reveal("/v{VERSION%}/", (("VERSION", value),))
    assert unquote(encoded, errors="surrogateescape") == f"/v{value}/"


VALUES = st.text("abcd /%1.{}:", min_size=4, max_size=8)
NAMES = st.sampled_from(["A", "VERSION", "NAME_2"])
ARGUMENTS = st.dictionaries(NAMES, VALUES)
FOREIGN = st.lists(
    st.one_of(
        st.text("abcd/%1.2F:{}", max_size=8), st.sampled_from(["{A}", "{NAME_2%}", "%7BA%7D"])
    )
)


@given(FOREIGN, ARGUMENTS, st.lists(st.sampled_from(range(3))))
def test_hiding_and_revealing_are_inverse(
    texts: list[str], mapping: dict[str, str], places: list[int]
) -> None:
    arguments = arguments_of(mapping)
    values = [quote(value, safe="") for _, value in arguments]
    text = "".join([*texts, *(values[place] for place in places if place < len(values))])
    revealed = reveal(hide(text, arguments), arguments)
    # What a value is may be written in two ways in a URL; both mean the same.
    assert unquote(revealed) == unquote(text)


@given(FOREIGN, ARGUMENTS, ARGUMENTS)
def test_what_somebody_else_wrote_never_tells_a_value(
    texts: list[str], hidden: dict[str, str], revealed: dict[str, str]
) -> None:
    text = "".join(texts)
    assume(not redaction.used_in(text, arguments_of(hidden)))
    assert reveal(hide(text, arguments_of(hidden)), arguments_of(revealed)) == without_places(text)


@given(VALUES, st.randoms())
def test_a_value_is_hidden_however_it_is_encoded(value: str, random: Random) -> None:
    forms = [random.choice([one, f"%{ord(one):02x}", f"%{ord(one):02X}"]) for one in value]
    hidden = hide(f"https://h/{''.join(forms)}/", (("NAME", value),))
    assert hidden in ("https://h/{NAME}/", "https://h/{NAME%}/")


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("NPM_TOKEN", True),
        ("password", True),
        ("AUTH", True),
        ("npmAuthToken", True),
        ("GH_PAT", True),
        ("PAT", True),
        ("COMPAT", False),
        ("PATTERN", False),
        ("SID", True),
        ("SIDE", False),
        ("DB_PASS", True),
        ("VERSION", False),
        ("GOOS", False),
        ("KEYCLOAK_VERSION", False),
        ("AUTHOR", False),
        ("PATH", False),
    ],
)
def test_names_of_arguments_say_which_are_secret(name: str, secret: bool) -> None:
    assert is_secret_name(name) is secret


SHAPED = (
    "ghp_0123456789abcdefABCDEF", "gho_0123456789abcdefABCDEF", "github_pat_0123456789_abcdefABC",
    "glpat-0123456789abcdefABCD", "npm_0123456789abcdefABCDEF0123456789abcd",
    "AKIA0123456789ABCDEF",
    "pypi-AgEIcHlwaS5vcmcCJDAw-_x", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-_",
    "hf_abcdefghijABCDEFGHIJ",
    "xoxb-123456789012-abcdefABCDEF", "xoxp-123456789012-123-abcdefABCDEF",
    "sk-0123456789abcdefABCDEF", "sk-proj-0123456789abcdefABCDEF",
    "LTAI0123456789abcdefABCD", "ABIA0123456789ABCDEF", "gloas-0123456789abcdefABCD",
    "ATATT3xFfGF00123456789abcdef", "ATBB0123456789abcdefABCDEF", "GOCSPX-0123456789abcdefABCD",
    "sbp_0123456789abcdef0123456789abcdef01234567",
    "PMAK-0123456789abcdef01234567-0123456789abcdef0123456789abcdef01",
    "pscale_tkn_0123456789abcdefABCDEF0123456789", "dp.pt.0123456789abcdefABCDEF0123456789abcdef",
    "dapi0123456789abcdef0123456789abcdef", "0123456789abcd.atlasv1.0123456789abcdefABCDEF",
    "012345_0123456789abcdefABCDEF0123456_mmk",
    "sha256~0123456789abcdefABCDEF0123456789abcdefABCDE",
    "AGE-SECRET-KEY-10123456789ABCDEF0123456789ABCDEF",
    "bot123456789:AA0123456789abcdefABCDEF0123456789",
)  # fmt: skip


# fmt: off
PLACES = (
    "https://h/{}/f", "https://h/a-{}", "https://h/?x={}&y=1", "/?{}", "https://h/#{}",
    "https://{}@h/", "https://h/?x=https://h/{}", "https://h/a;b={}",
)
USUAL = (
    "/simple/pypi-attestations/", "/npm_translate_lock/index.js", "/hf_transfer-0.1.9.tar.gz",
    "/task-runner-with-a-long-name/", "/desk-environment-0123456789/", "/sk-SK/messages.po",
    "/@scope%2fname/-/name-1.0.0.tgz", "/by-hash/SHA256/" + "0123456789abcdef" * 4,
    "/debian/pool/main/k/keyutils/libkeyutils1_1.6.3-2_amd64.deb", "/author/monkey=1/x",
    "/key-value-store-of-a-long-name/", "/API-REFERENCE.html", "/sha256:" + "0123456789abcdef" * 4,
    "/T12345678/B12345678/readme", "/https://h/@user/x", "/p%3A2.0-1_amd64.deb", "/pul-1.0/fm2_x",
)
# fmt: on


@pytest.mark.parametrize("value", SHAPED)
def test_a_secret_is_known_by_its_shape_anywhere(value: str) -> None:
    hidden = "".join(f"%{ord(one):02X}" for one in value)
    for form in (value, hidden, hidden.replace("%", "%25")):
        for place in PLACES:
            clean = without_secrets(place.format(form))
            assert form not in clean
            assert without_secrets(clean) == clean
    assert secret_arguments((("PLAIN", value),))
    assert is_secret_value(f"Bearer {value}")


@pytest.mark.parametrize("path", USUAL)
def test_no_usual_name_has_the_shape_of_a_secret(path: str) -> None:
    assert not redaction.has_secrets(f"https://h{path}")


def test_an_argument_is_found_in_either_form() -> None:
    arguments = arguments_of({"TOKEN": "a/b c", "KEY": "wxyz"})
    assert redaction.used_in("/x/a%2Fb%20c", arguments) == ["TOKEN"]
    assert redaction.used_in("/x?q=a/b+c", arguments) == ["TOKEN"]
    assert redaction.used_in("/x", arguments) == []
