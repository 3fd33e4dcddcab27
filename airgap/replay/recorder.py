"""Asks the Internet for a build, and keeps every answer: the only part that has connections.

While it records, a build is given what it will be given at replay: the same headers, and redirects
whose secrets are redacted. The recorder knows them, and asks with them when the build follows.

An adapter stands for the network here:

>>> import io
>>> from tempfile import TemporaryDirectory
>>> from urllib3 import HTTPResponse
>>> class Adapter(requests.adapters.HTTPAdapter):
...     def send(self, request, **_):
...         body = HTTPResponse(io.BytesIO(b"hello"), status=200, preload_content=False)
...         return self.build_response(request, body)
>>> session = requests.Session()
>>> session.mount("https://", Adapter())
>>> folder = TemporaryDirectory()
>>> store = Store(Path(folder.name))
>>> recorder = Recorder(store, session)
>>> recorder.fetch("https://example.org/hello.txt")
200
>>> [response] = recorder.recording().responses.values()
>>> response.url, b"".join(store.blob(response.digest))
('https://example.org/hello.txt', b'hello')
>>> folder.cleanup()
"""

from __future__ import annotations

import itertools
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from ssl import SSLContext
from typing import Any
from urllib.parse import unquote

import requests
from requests.exceptions import ProxyError, RequestException, SSLError
from urllib3.exceptions import HTTPError

from airgap.errors import AirgapError, UpstreamError, cannot_write
from airgap.limits import LIMITS, MIB
from airgap.oci import errors
from airgap.oci.bounded_head import BoundedAdapter
from airgap.oci.registries import Endpoint
from airgap.oci.retry import RetryBudget, TemporaryError, retry
from airgap.oci.session import NewAdapter, new_session
from airgap.replay import headers, redaction
from airgap.replay.download import Download, Upstream
from airgap.replay.headers import Headers
from airgap.replay.recording import RecordedResponse, Recording, is_valid, lasts, size_of
from airgap.replay.replay import recorded_answer
from airgap.replay.request import RequestKey, Route, clean_location, led_to, loose
from airgap.replay.responses import GIT_WAY_ROUND, Note, Notes, Response, is_git, refusal
from airgap.replay.unrecordable import UnrecordableError
from airgap.store.store import BlobWriter, Store

# Seconds: to connect, and between two pieces.
_TIMEOUTS = (10.0, 60.0)
# Seconds for which a server that cannot be reached is tried; pip waits 15 for an answer.
_RETRY_FOR = 10.0
# Seconds for what is still on its way when the build is over.
_LAST_WAIT = 60.0
# Builds download at once what they have threads for.
_CONNECTIONS = 64
_REDIRECTS = range(300, 400)
_REFUSALS = range(400, 500)
_Request = tuple[str, bool, tuple[tuple[str, str], ...]]
"""A key, whether the answer is private, and the headers that the server behind sees."""
_MOST_REDIRECTS = 20
_FULL = "the recording is as large as one can be: record the build as several ones, by target"
_TOO_LARGE = "its URL or its headers are larger than a recording holds"
_WITH_USER = (
    "it redirects to a URL with a user and a password, which a recording cannot hold: "
    "download that URL itself, with credentials of your own"
)


def _new_adapter(context: SSLContext | None) -> BoundedAdapter:
    return BoundedAdapter(context, _CONNECTIONS)


def upstream_session(
    ca: Path | None = None, new_adapter: NewAdapter = _new_adapter
) -> requests.Session:
    """Return a session for all servers: proxies of the environment, certificates of the system.

    Args:
        ca: A file with other certificates to trust, beside those of the system.
        new_adapter: Makes what connects to servers.

    Raises:
        UsageError: The file holds no certificate.
    """
    return new_session(Endpoint("", "", "", ca=ca), new_adapter=new_adapter)


class Recorder:
    """Answers a build from the Internet, and remembers.

    Args:
        store: Where bodies are kept; no other recorder may use it meanwhile.
        session: Asks; it belongs to the recorder from now on.
        record_authenticated: Keep also what was asked for with credentials.
        arguments: The build's arguments: their values are not shown.
    """

    def __init__(
        self,
        store: Store,
        session: requests.Session,
        *,
        record_authenticated: bool = False,
        arguments: Mapping[str, str] | None = None,
    ) -> None:
        self._store, self._session = store, session
        self._record_authenticated = record_authenticated
        self._arguments = redaction.arguments_of(arguments or {})
        self._lock = threading.Lock()
        self._responses: dict[str, RecordedResponse] = {}
        self._map_bytes = 0
        # By key, the URL that had it first: those that differ from it in secrets have their own.
        self._first: dict[str, str] = {}
        # With which headers a refusal was asked for: it does not stand for requests with others.
        self._refused_with: dict[str, Mapping[str, str]] = {}
        # What one request is refused another one may get, with credentials or other headers.
        self._downloads: dict[_Request, Download] = {}
        # What credentials opened and is left out: a refusal without them does not stand for it.
        self._opened: set[str] = set()
        # Where redirects lead to, as the build asks for it: what it stands for, and whence.
        self._real: dict[str, Route] = {}
        self._private: dict[str, str] = {}
        self._known_settings: dict[str, Mapping[str, Any]] = {}
        self._disk: OSError | None = None
        self._left_out, self._failures, self._refused = Notes(), Notes(), Notes()
        store.drop_new_blobs()
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    @property
    def left_out(self) -> tuple[Note, ...]:
        """What the build was given and the recording has not, because it may be private."""
        return self._left_out.all

    @property
    def failures(self) -> tuple[Note, ...]:
        """What could not be had, or not to its end."""
        return self._failures.all

    @property
    def refused(self) -> tuple[Note, ...]:
        """What cannot be recorded, each with the way round."""
        return self._refused.all

    def recording(self) -> Recording:
        """Return all that was recorded; what is still on its way is waited for.

        Raises:
            SpaceError: The disk was full.
            HostError: The disk failed.
        """
        with self._lock:
            waiting = list(self._downloads.values())
        for download in waiting:
            if not download.wait(_LAST_WAIT):
                download.stop()
                download.wait(_TIMEOUTS[1])
        if self._disk is not None:
            kept = "The recording is not complete."
            raise cannot_write(self._store.root, self._disk, kept=kept)
        with self._lock:
            return Recording(dict(self._responses))

    def fetch(
        self,
        url: str,
        accept: str = "",
        part: str = "",
        check: Callable[[str], object] = lambda _: None,
    ) -> int:
        """Record a URL, and all that it redirects to.

        Args:
            url: In normal form; see `normal_url`.
            accept: The Accept header, or nothing.
            part: The Range header, or nothing.
            check: Is given each URL before it is asked, and may raise.

        Returns:
            The status at the end.

        Raises:
            UpstreamError: It cannot be had, or redirects in a circle.
        """
        named = (("Accept", accept), ("Range", part))
        sent = tuple((name, value) for name, value in named if value)
        for _ in range(_MOST_REDIRECTS):
            real = self._real.get(loose(url))
            check(real.url if real else url)
            answer = self.answer(RequestKey(url, accept, part), sent, "")
            try:
                for _piece in answer.body:
                    pass
            finally:
                answer.close()
            route = led_to(url, headers.value_of(answer.headers, "location"))
            if answer.status not in _REDIRECTS or route is None:
                return answer.status
            url = route.url
        shown = RequestKey(url).knowing(self._arguments).shown
        raise UpstreamError(f"{shown} redirects in a circle")

    def answer(self, key: RequestKey, sent: Headers, user: str) -> Response:
        """Return what the server behind answers, or did before; see `Handler`.

        Raises:
            AirgapError: It cannot be reached.
        """
        key = key.knowing(self._arguments)
        if is_git(key):
            return refusal(self._refused.add(key, GIT_WAY_ROUND))
        try:
            return self._answer(key, sent, user)
        except UnrecordableError as error:
            return refusal(self._refused.add(key, error.message))

    def _answer(self, key: RequestKey, sent: Headers, user: str) -> Response:
        """Return what is recorded, or what the server behind answers.

        Raises:
            UnrecordableError: It cannot be recorded.
            AirgapError: It cannot be reached.
        """
        private = self._why_private(key, sent)
        keep = self._record_authenticated or not private
        with self._lock:
            if keep and self._first.setdefault(key.key, key.url) != key.url:
                key = key.told_apart
            response = self._responses.get(key.key)
            if response and response.status in _REFUSALS and self._differs(key, sent, private):
                response = None
            if keep and not response and self._is_full:
                raise UnrecordableError(_FULL)
            join = keep and not response
            download = self._joined(key, sent, user, bool(private)) if join else None
        if response:
            body = self._store.blob(response.digest)
            return recorded_answer(response, body, self._arguments)
        if download:
            return download.answer(head=key.head)
        return self._pass_on(key, sent, user, private)

    def _differs(self, key: RequestKey, sent: Headers, private: str) -> bool:
        """Return whether what was refused may be answered to this request. Needs the lock."""
        # Credentials may open what was refused without.
        return bool(private) or self._refused_with.get(key.key) != headers.passed_on(sent)

    @property
    def _is_full(self) -> bool:
        """Whether no answer fits any more. Needs the lock."""
        many = len(self._responses) >= LIMITS.responses
        return many or self._map_bytes >= LIMITS.recording_bytes - LIMITS.response_room_bytes

    def _why_private(self, key: RequestKey, sent: Headers) -> str:
        """Return why an answer may be for this build alone, or nothing."""
        if source := self._private.get(loose(key.url)):
            return f"{source} redirects to it, which was asked for with credentials"
        texts = " ".join((key.url, *(value for _, value in sent)))
        if names := redaction.used_in(texts, redaction.secret_arguments(self._arguments)):
            return f"it was asked for with the build argument {names[0]}"
        return "it was asked for with credentials" if key.credentials else ""

    def _pass_on(self, key: RequestKey, sent: Headers, user: str, why: str) -> Response:
        """Answer and keep nothing.

        Raises:
            AirgapError: The server behind cannot be reached.
        """
        with self._lock:
            self._opened.add(key.key)
            self._remove(key.key)  # a refusal, without the credentials
        # The path of what a private redirect leads to may itself be the secret.
        url = f"{key.host}/..." if loose(key.url) in self._private else ""
        self._left_out.add(key, why, url)
        try:
            upstream = self._ask(key, sent, user, private=True)
        except AirgapError as error:
            if not isinstance(error, UnrecordableError):
                self._failures.add(key, error.message, url)
            raise
        return Response(
            upstream.status, upstream.headers, upstream.pieces, upstream.size, close=upstream.close
        )

    def _joined(self, key: RequestKey, sent: Headers, user: str, private: bool) -> Download:
        """Return the current download of this response, or a new one. The caller holds the lock."""
        passed = headers.passed_on(sent)
        request = (key.key, private, tuple(sorted(passed.items())))
        download = self._downloads.get(request)
        if download is None:
            download = self._downloads[request] = Download(
                partial(self._ask, key, sent, user, private=private),
                self._store,
                partial(self._finish, key, private, passed),
                partial(self._ended, key, request),
            )
        download.join()
        return download

    def _ended(self, key: RequestKey, request: _Request, failure: BaseException | None) -> None:
        """Note what there is to note of a download, before its clients see its end."""
        if isinstance(failure, UnrecordableError):
            self._refused.add(key, failure.message)
        elif isinstance(failure, AirgapError):
            self._failures.add(key, failure.message)
        elif isinstance(failure, OSError):
            self._disk = failure
        with self._lock:
            del self._downloads[request]

    def _finish(
        self,
        key: RequestKey,
        private: bool,
        passed: Mapping[str, str],
        upstream: Upstream,
        blob: BlobWriter,
    ) -> None:
        """Keep an answer that came whole, if it is worth keeping.

        Raises:
            UnrecordableError: The recording has no room for it.
        """
        if not lasts(upstream.status):
            self._failures.add(key, f"the server answered {upstream.status}")
            return
        digest, size = blob.publish()
        named = self._without_arguments(upstream.headers)
        response = RecordedResponse(key.key, key.shown, upstream.status, named, digest, size)
        if not is_valid(response):
            raise UnrecordableError(_TOO_LARGE)
        with self._lock:
            if self._is_full:
                raise UnrecordableError(_FULL)
            known = self._responses.get(key.key)
            weak = upstream.status in _REFUSALS and not private
            if weak and (known or key.key in self._opened):
                return
            if known and not private and known.status not in _REFUSALS:
                return  # another request came first, with other headers
            self._remove(key.key)
            self._responses[key.key] = response
            self._map_bytes += size_of(response)
            if weak:
                self._refused_with[key.key] = passed
        self._failures.drop(key)
        self._left_out.drop(key)

    def _remove(self, key: str) -> None:
        """Forget an answer, if there is one. Needs the lock."""
        if known := self._responses.pop(key, None):
            self._map_bytes -= size_of(known)

    def _without_arguments(self, named: Headers) -> Headers:
        """Return headers with names for arguments, and without secret ones."""
        secret = redaction.secret_arguments(self._arguments)
        return tuple(
            (name, redaction.hide(value, self._arguments) if _is_location(name) else value)
            for name, value in named
            if _is_location(name) or not redaction.used_in(value, secret)
        )

    def _ask(self, key: RequestKey, sent: Headers, user: str, *, private: bool) -> Upstream:
        """Ask the server behind, again for a while if it cannot be reached.

        Raises:
            AirgapError: It cannot.
        """
        real = self._real.get(loose(key.url), Route(key.url, user))
        named = headers.passed_on(sent)
        if real.user:
            proof = b64encode(unquote(real.user).encode()).decode()
            named.setdefault("authorization", f"Basic {proof}")
        work = partial(self._try, key.host, real.url, named)
        response = retry(work, RetryBudget(_RETRY_FOR))
        try:
            kept = self._kept(key, response, private=private)
        except UnrecordableError:
            response.close()
            raise
        if response.status_code in _REDIRECTS and any(_is_location(name) for name, _ in kept):
            # Nobody reads the body of a redirect, and it names the target with all its secrets.
            response.close()
            return Upstream(response.status_code, kept, 0, iter(()))
        size = response.raw.length_remaining  # none if it is not stated
        pieces = _pieces(response, key.host, size)
        return Upstream(response.status_code, kept, size, pieces, response.close)

    def _kept(self, key: RequestKey, response: requests.Response, *, private: bool) -> Headers:
        """Return the headers that clients are given of an answer.

        Raises:
            UnrecordableError: They are too large, or lead to a URL with a password.
        """
        return tuple(
            (name, self._location(key, value, private=private) if _is_location(name) else value)
            for name, value in headers.kept(response.raw.headers.items())
        )

    def _try(self, host: str, url: str, named: Mapping[str, str]) -> requests.Response:
        # Prepared in parts: the URL stays as it was asked, as signatures may be made of it, and the
        # parts that builds have no use for take as long as all else.
        request = requests.PreparedRequest()
        request.method, request.url, request.hooks = "GET", url, self._session.hooks
        try:
            request.prepare_headers({**self._session.headers, **named})
            request.prepare_cookies({})
            return self._session.send(
                request, timeout=_TIMEOUTS, allow_redirects=False, **self._settings(url)
            )
        except (RequestException, HTTPError, OSError, ValueError) as error:
            raise _unreachable(host, error) from None  # that one shows the URL, secrets and all

    def _settings(self, url: str) -> Mapping[str, Any]:
        """Return the proxy and the certificates for a server, which hold for all of a recording."""
        server = "/".join(url.split("/", 3)[:3])
        if server not in self._known_settings:
            found = self._session.merge_environment_settings(url, {}, True, None, None)
            self._known_settings[server] = found
        return self._known_settings[server]

    def _registered(self, base: str, shown: str, real: Route) -> tuple[str, Route]:
        """Return the URL that a build requests when its redirect has secrets.

        Raises:
            UnrecordableError: It is too long.
        """
        for text in _numbers(shown):
            target = led_to(base, text)
            if target is None:
                break
            if self._real.setdefault(loose(target.url), real) == real:
                return text, target
        raise UnrecordableError(_TOO_LARGE)

    def _location(self, key: RequestKey, value: str, *, private: bool) -> str:
        """Return a redirect's target as the build is given it; what it stands for is remembered.

        Raises:
            UnrecordableError: It has a user and a password. Without them it is the URL of
                something else, which others may ask for: they must not be sent for these.
        """
        location = clean_location(value)
        shown = redaction.without_secrets(location)
        real, target = led_to(key.url, location), led_to(key.url, shown)
        if redaction.has_user(location):
            raise UnrecordableError(_WITH_USER)
        if real and target:
            with self._lock:
                if shown != location:
                    shown, target = self._registered(key.url, shown, real)
                if private:
                    source = self._private.get(loose(key.url), key.shown)
                    self._private.setdefault(loose(target.url), source)
        return shown


def _numbers(shown: str) -> Iterator[str]:
    """Yield the forms of a URL without secrets that stand for different ones with secrets."""
    yield shown
    yield from (redaction.numbered(shown, number) for number in itertools.count(2))


def _pieces(response: requests.Response, what: str, size: int | None) -> Iterator[bytes]:
    """Yield the body as it comes.

    Raises:
        TemporaryError: It broke off.
    """
    count = 0
    try:
        while piece := response.raw.read1(MIB, decode_content=False):
            count += len(piece)
            yield piece
    except (HTTPError, OSError) as error:
        raise errors.broke_off(what, error) from error
    if size is not None and count != size:
        raise errors.broke_off(what, f"{size - count} bytes are missing")


def _is_location(name: str) -> bool:
    return name.lower() == "location"


def _unreachable(host: str, error: Exception) -> UpstreamError:
    """Return the error for a request without an answer; it must not show the request's URL."""
    if isinstance(error, SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
        return UpstreamError(
            f"the TLS certificate of {host} is not trusted",
            remedy="add its CA to the certificates that this system trusts",
        )
    if isinstance(error, ValueError):
        return UpstreamError(f"{host} cannot be asked like this: a header or the URL is not valid")
    through = " through the proxy" if isinstance(error, ProxyError) else ""
    return TemporaryError(
        f"{host} cannot be reached{through} ({errors.reason(error)})",
        kind="cannot be reached",
        remedy="check network, proxy (HTTPS_PROXY) and name",
        first_contact=True,
    )
