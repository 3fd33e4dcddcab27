"""Answers to a registry's challenge, with a token server that lives in memory."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from requests.adapters import HTTPAdapter
from urllib3 import HTTPHeaderDict, HTTPResponse

from airgap.errors import CredentialsError, UpstreamError
from airgap.limits import LIMITS
from airgap.oci.authorization import Authorization
from airgap.oci.credentials import Credentials
from airgap.oci.errors import refused
from airgap.oci.registries import Endpoint

PLACE = Endpoint("a.internal", "a.internal", "team/app")
CHALLENGE = 'Bearer realm="https://auth.internal/token",service="site",scope="repository:x:pull"'
TOKEN = json.dumps({"token": "short-lived"}).encode()


class TokenServer(HTTPAdapter):
    """Answers instead of any server, and keeps what it was asked."""

    def __init__(
        self, body: bytes = TOKEN, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__()
        self.asked: list[requests.PreparedRequest] = []
        self.timeouts: list[object] = []
        self._answer = body, status, HTTPHeaderDict(headers or {})

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: object = None,
        *_: object,
        **__: object,
    ) -> requests.Response:
        self.asked.append(request)
        self.timeouts.append(timeout)
        body, status, headers = self._answer
        raw = HTTPResponse(io.BytesIO(body), headers, status, preload_content=False)
        return self.build_response(request, raw)

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(str(self.asked[-1].url)).query)


@pytest.fixture(autouse=True)
def _own_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))


def log_in(folder: Path, **entry: str) -> None:
    config = {"auths": {"a.internal": entry}}
    (folder / "config.json").write_text(json.dumps(config))


def basic(pair: str) -> str:
    return base64.b64encode(pair.encode()).decode()


def answer(
    server: TokenServer, challenge: str = CHALLENGE, place: Endpoint = PLACE, actions: str = ""
) -> str:
    """The header for `place` after `challenge` was answered."""
    authorization = Authorization(Credentials(), timeout=7, actions=actions)
    with requests.Session() as session:
        session.mount("https://", server)
        session.mount("http://", server)
        authorization.answer(place, refusal(challenge, place=place), session)
    return authorization.header(place)["Authorization"]


def refusal(*challenges: str, place: Endpoint = PLACE, body: bytes = b"") -> requests.Response:
    """A 401 of `place` with a header for each challenge."""
    headers = HTTPHeaderDict()
    for challenge in challenges:
        headers.add("WWW-Authenticate", challenge)
    raw = HTTPResponse(io.BytesIO(body), headers, 401, preload_content=False)
    response = requests.Response()
    response.raw, response.status_code = raw, 401
    response.headers.update(headers)
    response.url = f"https://{place.server}/v2/{place.repository}/manifests/1"
    return response


def test_nothing_is_sent_before_a_server_asks(tmp_path: Path) -> None:
    log_in(tmp_path, auth=basic("ann:secret"))
    assert Authorization(Credentials()).header(PLACE) == {}


def test_a_token_is_fetched_without_credentials_where_there_are_none() -> None:
    server = TokenServer()
    assert answer(server) == "Bearer short-lived"
    [request] = server.asked
    assert (request.method, urlsplit(str(request.url)).netloc) == ("GET", "auth.internal")
    assert server.query == {"service": ["site"], "scope": ["repository:x:pull"]}
    assert "Authorization" not in request.headers
    assert server.timeouts == [7]


def test_a_token_is_fetched_with_the_credentials_for_the_host(tmp_path: Path) -> None:
    log_in(tmp_path, auth=basic("ann:sécret"))
    server = TokenServer()
    assert answer(server) == "Bearer short-lived"
    assert server.asked[0].headers["Authorization"] == f"Basic {basic('ann:sécret')}"


def test_a_registry_token_is_given_to_the_registry_and_to_nobody_else(tmp_path: Path) -> None:
    log_in(tmp_path, registrytoken="as-it-is")
    server = TokenServer()
    assert answer(server) == "Bearer as-it-is"
    assert server.asked == []


def test_an_identity_token_is_posted_and_not_put_into_the_address(tmp_path: Path) -> None:
    log_in(tmp_path, identitytoken="long-lived")
    server = TokenServer(b'{"access_token": "short-lived"}')
    assert answer(server) == "Bearer short-lived"
    [request] = server.asked
    assert (request.method, request.url) == ("POST", "https://auth.internal/token")
    assert parse_qs(str(request.body)) == {
        "grant_type": ["refresh_token"],
        "refresh_token": ["long-lived"],
        "client_id": ["airgap"],
        "service": ["site"],
        "scope": ["repository:x:pull"],
    }
    assert server.timeouts == [7]


def test_an_identity_token_does_not_follow_a_redirect(tmp_path: Path) -> None:
    log_in(tmp_path, identitytoken="long-lived")
    server = TokenServer(status=307, headers={"Location": "https://elsewhere.internal/"})
    with pytest.raises(UpstreamError, match="answered 307"):
        answer(server)
    assert [request.url for request in server.asked] == ["https://auth.internal/token"]


def test_the_scope_is_to_pull_the_repository_where_the_server_names_none() -> None:
    server = TokenServer()
    answer(server, 'Bearer realm="https://auth.internal/token"')
    assert server.query == {"scope": ["repository:team/app:pull"]}


@pytest.mark.parametrize(
    "challenge",
    [
        "bearer realm=https://auth.internal/token, service=site",
        'BEARER   Service="site" ,  Realm="https://auth.internal/token"',
        'Bearer realm="https://auth.internal/token",error="invalid_token",service="site"',
    ],
)
def test_a_challenge_may_be_spelled_in_several_ways(challenge: str) -> None:
    server = TokenServer()
    assert answer(server, challenge) == "Bearer short-lived"
    assert server.query["service"] == ["site"]


def test_who_pushes_asks_for_that_right_beside_what_the_server_names(tmp_path: Path) -> None:
    server = TokenServer()
    answer(server, CHALLENGE.replace("x:pull", "x:pull repository:y:pull"), actions="pull,push")
    wanted = ["repository:x:pull", "repository:y:pull", "repository:team/app:pull,push"]
    assert server.query["scope"] == wanted
    log_in(tmp_path, identitytoken="long-lived")
    answer(server, actions="pull,push")
    assert parse_qs(str(server.asked[-1].body))["scope"] == [f"{wanted[0]} {wanted[2]}"]


def test_basic_sends_the_credentials_themselves(tmp_path: Path) -> None:
    log_in(tmp_path, auth=basic("ann:secret"))
    server = TokenServer()
    assert answer(server, 'Basic realm="site"') == f"Basic {basic('ann:secret')}"
    assert server.asked == []


@pytest.mark.parametrize(
    ("challenge", "unknown"),
    [
        ("", ""),
        ("Basic", ""),
        ('Basic realm="site"', ""),
        ("Negotiate", "negotiate"),
        ("Digest x", "digest"),
        ('NTLM, Digest realm="x", nonce="y"', "ntlm, digest"),
    ],
)
def test_without_a_fitting_credential_the_server_refuses(challenge: str, unknown: str) -> None:
    with pytest.raises(CredentialsError) as caught:
        answer(TokenServer(), challenge)
    assert str(caught.value) == str(refused(PLACE, scheme=unknown))
    assert unknown in caught.value.meaning
    assert caught.value.message == "a.internal refuses team/app"
    assert "docker login a.internal" in caught.value.remedy


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_token_server_that_refuses_is_a_credentials_error(status: int) -> None:
    with pytest.raises(CredentialsError, match=r"a\.internal refuses team/app"):
        answer(TokenServer(status=status))


@pytest.mark.parametrize("status", [204, 404, 429, 500])
def test_a_token_server_with_another_status_is_an_upstream_error(status: int) -> None:
    with pytest.raises(UpstreamError, match=f"token server of a.internal answered {status}"):
        answer(TokenServer(status=status))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"token": 1}',
        b'{"token": ""}',
        b'{"token": "a b"}',
        b'{"token": null, "access_token": ""}',
        b'{"token": "a\\r\\nHost: b"}',
        '{"token": "é"}'.encode(),
        TOKEN.ljust(LIMITS.response_bytes + 1),
    ],
)
def test_an_answer_without_a_usable_token_is_an_upstream_error(body: bytes) -> None:
    with pytest.raises(UpstreamError, match=r"token server of a\.internal gave no token"):
        answer(TokenServer(body))


@pytest.mark.parametrize("other", [b'""', b"null", b"1", b'"a b"'])
def test_either_name_of_the_token_counts(other: bytes) -> None:
    body = b'{"token": %s, "access_token": "short-lived", "expires_in": 60}' % other
    assert answer(TokenServer(body)) == "Bearer short-lived"


def test_the_words_of_a_token_server_are_told() -> None:
    body = b'{"details": "incorrect username\x1b[31m or password"}'
    with pytest.raises(CredentialsError, match="incorrect username") as caught:
        answer(TokenServer(body.replace(b"\x1b", b"\\u001b"), status=401))
    assert "\x1b" not in str(caught.value)


def test_an_answer_may_be_as_long_as_the_limit() -> None:
    assert answer(TokenServer(TOKEN.ljust(LIMITS.response_bytes))) == "Bearer short-lived"


def test_an_answer_that_breaks_off_is_an_upstream_error() -> None:
    server = TokenServer(TOKEN, headers={"Content-Length": "1000"})
    with pytest.raises(
        UpstreamError, match=r"connection broke while the answer of the token server of a\.internal"
    ):
        answer(server)


@pytest.mark.parametrize(
    ("realm", "told"),
    [
        ("", "names no token server"),
        ("http://auth.internal/token", "X-Forwarded-Proto: https"),
        ("http://a.internal/token", "a token server that is not HTTPS: 'http://a.internal/token'"),
        ("ftp://auth.internal/", "names the token server 'ftp://auth.internal/'"),
        ("https//x", "names the token server 'https//x'"),
        ("https://[x", "names the token server 'https://[x'"),
        ("file:///etc/passwd", "names the token server"),
    ],
)
def test_credentials_go_to_no_token_server_that_is_not_https(
    tmp_path: Path, realm: str, told: str
) -> None:
    log_in(tmp_path, auth=basic("ann:secret"))
    server = TokenServer()
    with pytest.raises(UpstreamError) as caught:
        answer(server, f'Bearer realm="{realm}"')
    assert told in str(caught.value)
    assert server.asked == []


@pytest.mark.parametrize("realm", ["/token", "//a.internal/token"])
def test_a_token_server_may_be_a_path_of_the_registry(realm: str) -> None:
    server = TokenServer()
    assert answer(server, f'Bearer realm="{realm}",service="site"') == "Bearer short-lived"
    assert str(server.asked[0].url).startswith("https://a.internal/token?service=site")


def test_a_token_server_may_have_a_query_and_no_service() -> None:
    server = TokenServer()
    answer(server, 'Bearer realm="https://auth.internal/token?account=x",service=""')
    assert server.query == {"account": ["x"], "scope": ["repository:team/app:pull"]}
    assert "service" not in str(server.asked[0].url)


BEARER = 'Bearer realm="https://auth.internal/token",service="site"'
NO_REALM = 'Bearer service="site"'


@pytest.mark.parametrize(
    ("challenges", "kind"),
    [
        ([BEARER, 'Basic realm="Gitea Container Registry"'], "Bearer"),
        (['Basic realm="Gitea"', BEARER], "Bearer"),
        ([f'Basic realm="a, b", {BEARER}'], "Bearer"),
        ([f"{BEARER}, Negotiate"], "Bearer"),
        ([f"{NO_REALM}, {BEARER}"], "Bearer"),
        ([NO_REALM, 'Basic realm="x"'], "Basic"),
        (["Negotiate", 'Basic realm="x"'], "Basic"),
        (['Negotiate, Basic realm="x"'], "Basic"),
        (["Negotiate YIIB==, NTLM", 'BASIC realm="x \\"quoted\\", Bearer realm=y"'], "Basic"),
    ],
)
def test_of_several_challenges_the_one_that_can_be_answered_is(
    tmp_path: Path, challenges: list[str], kind: str
) -> None:
    log_in(tmp_path, auth=basic("ann:secret"))
    server = TokenServer()
    authorization = Authorization(Credentials())
    with requests.Session() as session:
        session.mount("https://", server)
        authorization.answer(PLACE, refusal(*challenges), session)
    sent = authorization.header(PLACE)["Authorization"]
    wanted = "Bearer short-lived" if kind == "Bearer" else f"Basic {basic('ann:secret')}"
    assert sent == wanted
    if kind == "Bearer":
        assert urlsplit(str(server.asked[0].url)).netloc == "auth.internal"
        assert server.query["service"] == ["site"]


@settings(max_examples=100, deadline=None)
@given(
    st.permutations([BEARER, 'Basic realm="a \\"b\\", Bearer c"', "Negotiate", "NTLM abc=="]),
    st.lists(st.booleans(), min_size=3, max_size=3),
)
def test_the_order_and_the_headers_of_challenges_do_not_matter(
    challenges: list[str], joined: list[bool]
) -> None:
    headers = [challenges[0]]
    for challenge, joins in zip(challenges[1:], joined, strict=True):
        if joins:
            headers[-1] += f", {challenge}"
        else:
            headers.append(challenge)
    server = TokenServer()
    authorization = Authorization(Credentials())
    with requests.Session() as session:
        session.mount("https://", server)
        authorization.answer(PLACE, refusal(*headers), session)
    assert authorization.header(PLACE) == {"Authorization": "Bearer short-lived"}
    assert server.query == {"service": ["site"], "scope": ["repository:team/app:pull"]}


def test_a_token_server_that_refuses_leaves_the_other_way(tmp_path: Path) -> None:
    log_in(tmp_path, auth=basic("ann:secret"))
    authorization = Authorization(Credentials())
    with requests.Session() as session:
        session.mount("https://", TokenServer(status=401))
        authorization.answer(PLACE, refusal(BEARER, 'Basic realm="x"'), session)
    assert authorization.header(PLACE) == {"Authorization": f"Basic {basic('ann:secret')}"}


def test_a_server_behind_a_redirect_gets_no_credentials(tmp_path: Path) -> None:
    log_in(tmp_path, auth=basic("ann:secret"))
    place = replace(PLACE, sent_by="b.internal")
    server = TokenServer()
    assert answer(server, CHALLENGE, place) == "Bearer short-lived"
    assert "Authorization" not in server.asked[0].headers
    with pytest.raises(CredentialsError, match=r"a\.internal, where b\.internal sends to, refuses"):
        answer(server, 'Basic realm="x"', place)


@pytest.mark.parametrize(
    "place",
    [
        Endpoint("a.internal", "a.internal", "team/app", http=True),
        Endpoint("localhost:5000", "localhost:5000", "team/app"),
    ],
)
def test_plain_http_is_fine_where_the_registry_itself_is_so(place: Endpoint) -> None:
    challenge = 'Bearer realm="http://auth.internal/token"'
    assert answer(TokenServer(), challenge, place) == "Bearer short-lived"


def test_a_token_is_kept_for_one_repository_of_one_server() -> None:
    authorization = Authorization(Credentials())
    with requests.Session() as session:
        session.mount("https://", TokenServer())
        authorization.answer(PLACE, refusal(CHALLENGE), session)
    assert authorization.header(PLACE) == {"Authorization": "Bearer short-lived"}
    for other in (
        Endpoint("a.internal", "a.internal", "team/other"),
        Endpoint("b.internal", "b.internal", "team/app"),
    ):
        assert authorization.header(other) == {}


@settings(max_examples=100, deadline=None)
@given(
    st.one_of(
        st.text(max_size=20),
        st.lists(
            st.sampled_from(["Bearer ", "realm=", '"', ",", "https://", "auth.internal", "[", " "]),
            max_size=8,
        ).map("".join),
    ),
    st.one_of(st.just(TOKEN), st.binary(max_size=20)),
)
def test_any_challenge_is_answered_or_an_error_of_ours(challenge: str, body: bytes) -> None:
    try:
        header = answer(TokenServer(body), challenge)
    except (CredentialsError, UpstreamError, requests.RequestException):
        return
    assert header == "Bearer short-lived"
