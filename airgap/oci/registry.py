"""The registry client: manifests and blobs over HTTP (OCI distribution spec, "Pull")."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import requests
from requests.exceptions import ProxyError
from urllib3.exceptions import HTTPError

from airgap.errors import AirgapError, IntegrityError, NotFoundError, UpstreamError
from airgap.limits import LIMITS
from airgap.oci.authorization import Authorization, refused
from airgap.oci.credentials import Credentials
from airgap.oci.digest import digest_of
from airgap.oci.manifest import INDEX_TYPES, MANIFEST_TYPES, Descriptor
from airgap.oci.reference import Reference
from airgap.oci.registries import Endpoint, Registries
from airgap.oci.session import RETRIED, new_session

_ACCEPT = ", ".join((*INDEX_TYPES, *MANIFEST_TYPES))
_NOT_FOUND, _UNAUTHORISED, _FORBIDDEN, _TOO_MANY = 404, 401, 403, 429
# Seconds before an answer that broke off is asked for again.
_PAUSES = (0.5, 2.0, 5.0)
_T = TypeVar("_T")


class BrokenOffError(UpstreamError):
    """The connection broke in the midst of an answer."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(
            f"the connection broke while {what} was read ({reason})",
            remedy="give the same command again: finished blobs are kept",
        )


def unbroken(work: Callable[[], _T], pause: Callable[[float], object] = time.sleep) -> _T:
    """The result of `work`, which is done again, a few times, where an answer breaks off.

    Requests that get no answer at all are repeated below this, by the session.
    """
    for seconds in _PAUSES:
        try:
            return work()
        except BrokenOffError:
            pause(seconds)
    return work()


class BlobReader:
    """The body of a blob; its bytes are not verified."""

    def __init__(self, response: requests.Response, what: str, size: int) -> None:
        self._raw = response.raw
        self._what = what
        self._left = size

    def readinto(self, buffer: memoryview) -> int:
        """Fills the buffer's beginning and returns how many bytes; 0 at the end.

        Raises:
            BrokenOffError: The connection broke, or there are too few bytes.
        """
        try:
            count = int(self._raw.readinto(buffer))
        except (HTTPError, OSError) as error:
            raise BrokenOffError(self._what, _reason(error)) from error
        if count == 0 and self._left > 0:
            raise BrokenOffError(self._what, f"{self._left} bytes are missing")
        self._left -= count
        return count


class RegistryClient:
    """Asks registries, in the order that the configuration gives. Safe to use from threads.

    Args:
        registries: Mirrors, replacements, plain HTTP and CA files.
        credentials: Where user names and passwords come from.
        timeout: Seconds to wait for a connection, and for each piece of an answer.
        attempts: How often a request is tried in all.
    """

    def __init__(
        self,
        registries: Registries,
        credentials: Credentials,
        *,
        timeout: float = 30,
        attempts: int = 4,
    ) -> None:
        self._registries = registries
        self._authorization = Authorization(credentials, timeout=timeout)
        self._timeout = timeout
        self._attempts = attempts
        self._schemes: dict[str, str] = {}
        self._local = threading.local()
        self._sessions: list[requests.Session] = []

    def close(self) -> None:
        """Closes all connections."""
        for session in self._sessions:
            session.close()

    def manifest(self, reference: Reference) -> tuple[Descriptor, bytes]:
        """A manifest or index by digest, or else by tag, with the bytes that were served.

        Raises:
            NotFoundError: There is none.
            CredentialsError: Credentials are missing or wrong.
            UpstreamError: The registry is unreachable, refuses, or answers with something else.
            IntegrityError: The bytes are not those of the digest.
        """
        return unbroken(
            lambda: self._ask(reference, lambda endpoint: self._manifest(endpoint, reference))
        )

    def small_blob(self, reference: Reference, descriptor: Descriptor) -> bytes:
        """A config, verified.

        Raises:
            AirgapError: As for `manifest`.
        """
        if descriptor.size > LIMITS.config_bytes:
            raise IntegrityError(f"the config of {reference} is larger than any should be")
        body = unbroken(lambda: self._read_blob(reference, descriptor))
        if digest_of(body) != descriptor.digest:
            raise _wrong_digest(reference, descriptor.digest, digest_of(body))
        return body

    @contextmanager
    def blob(self, reference: Reference, digest: str, size: int) -> Iterator[BlobReader]:
        """The bytes of a blob, which the caller hashes.

        Raises:
            AirgapError: As for `manifest`.
        """

        def open_blob(endpoint: Endpoint) -> requests.Response:
            response = self._get(endpoint, f"blobs/{digest}", "*/*")
            length = response.headers.get("Content-Length")
            if length is not None and length != str(size):
                response.close()
                kind = response.headers.get("Content-Type", "no type")
                raise UpstreamError(
                    f"{endpoint.name} answered {length} bytes of {kind} for {digest} of "
                    f"{reference}, which has {size} bytes",
                    meaning="Something between here and the registry answers in its place.",
                )
            return response

        with self._ask(reference, open_blob) as response:
            yield BlobReader(response, f"{digest} of {reference}", size)

    def _read_blob(self, reference: Reference, descriptor: Descriptor) -> bytes:
        body = bytearray(descriptor.size)
        view, filled = memoryview(body), 0
        with self.blob(reference, descriptor.digest, descriptor.size) as reader:
            while filled < len(body):
                filled += reader.readinto(view[filled:])
        return bytes(body)

    def _manifest(self, endpoint: Endpoint, reference: Reference) -> tuple[Descriptor, bytes]:
        path = f"manifests/{reference.target}"
        with self._get(endpoint, path, _ACCEPT) as response:
            media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
            try:
                body = response.raw.read(LIMITS.manifest_bytes + 1, decode_content=True)
            except (HTTPError, OSError) as error:
                raise BrokenOffError(f"the manifest of {reference}", _reason(error)) from error
        if media_type not in (*INDEX_TYPES, *MANIFEST_TYPES):
            raise UpstreamError(
                f"{endpoint.name} answered {media_type or 'no type'!r} for {reference}",
                meaning="That is no image manifest that can be carried: an image in a format "
                "from before 2016, or a proxy's login page.",
            )
        if len(body) > LIMITS.manifest_bytes:
            raise IntegrityError(f"the manifest of {reference} is larger than 4 MiB")
        digest = digest_of(body)
        if reference.digest and digest != reference.digest:
            raise _wrong_digest(reference, reference.digest, digest)
        return Descriptor(media_type, digest, len(body)), body

    def _ask(self, reference: Reference, ask: Callable[[Endpoint], _T]) -> _T:
        """Asks one endpoint after the other; the last error tells what all of them said."""
        failures: list[AirgapError] = []
        for endpoint in self._registries.endpoints(reference):
            try:
                return ask(endpoint)
            except AirgapError as error:
                failures.append(error)
        last = failures[-1]
        if len(failures) > 1:
            before = "; ".join(failure.message for failure in failures[:-1])
            last.meaning = f"{last.meaning} Asked before it: {before}.".lstrip()
        raise last

    def _get(self, endpoint: Endpoint, path: str, accept: str) -> requests.Response:
        """A response with status 200, its body not read yet."""
        url = f"{self._scheme(endpoint)}://{endpoint.server}/v2/{endpoint.repository}/{path}"
        response = self._request(endpoint, url, accept)
        if response.status_code == _UNAUTHORISED:
            challenge = response.headers.get("WWW-Authenticate", "")
            response.close()
            try:
                self._authorization.answer(endpoint, challenge, self._session(endpoint))
            except requests.RequestException as error:
                raise _unreachable(endpoint, error) from error
            response = self._request(endpoint, url, accept)
        if response.status_code == requests.codes.ok:
            return response
        response.close()
        raise self._bad_status(endpoint, response, path)

    def _request(self, endpoint: Endpoint, url: str, accept: str) -> requests.Response:
        headers = {"Accept": accept, **self._authorization.header(endpoint)}
        try:
            return self._session(endpoint).get(
                url, headers=headers, stream=True, timeout=self._timeout
            )
        except requests.RequestException as error:
            raise _unreachable(endpoint, error) from error

    def _bad_status(
        self, endpoint: Endpoint, response: requests.Response, path: str
    ) -> AirgapError:
        status = response.status_code
        kind, _, target = path.partition("/")
        if status == _NOT_FOUND:
            return NotFoundError(
                f"{endpoint.name} has no {kind[:-1]} {target} in {endpoint.repository}",
                remedy="check name and tag",
            )
        if status in (_UNAUTHORISED, _FORBIDDEN):
            return refused(endpoint)
        tried = f", {self._attempts} times" if status in RETRIED else ""
        return UpstreamError(
            f"{endpoint.name} answered {status}{tried} for {endpoint.repository}",
            meaning=_limits(response),
            remedy="give the same command again later: finished blobs are kept",
        )

    def _scheme(self, endpoint: Endpoint) -> str:
        """`http` or `https`; for a loopback server whichever answers."""
        if endpoint.http:
            return "http"
        if not endpoint.is_loopback:
            return "https"
        if endpoint.server not in self._schemes:
            self._schemes[endpoint.server] = self._answering_scheme(endpoint)
        return self._schemes[endpoint.server]

    def _answering_scheme(self, endpoint: Endpoint) -> str:
        try:
            with new_session(endpoint, attempts=1) as session:
                session.get(f"https://{endpoint.server}/v2/", timeout=self._timeout).close()
        except requests.exceptions.SSLError as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise _unreachable(endpoint, error) from error
            return "http"
        except requests.RequestException:
            return "http"
        return "https"

    def _session(self, endpoint: Endpoint) -> requests.Session:
        """This thread's session for an endpoint's way of connecting."""
        sessions = self._local.__dict__.setdefault("sessions", {})
        key = (endpoint.is_loopback, endpoint.ca)
        if key not in sessions:
            sessions[key] = new_session(endpoint, self._attempts)
            self._sessions.append(sessions[key])
        session: requests.Session = sessions[key]
        return session


def _limits(response: requests.Response) -> str:
    """What a refusal says of when to come again."""
    said = ["It limits how often it may be asked"] if response.status_code == _TOO_MANY else []
    if waits := response.headers.get("Retry-After"):
        said.append(f"try again {f'in {waits} seconds' if waits.isdigit() else f'after {waits}'}")
    said += [
        f"{name} {response.headers[name]}"
        for name in ("ratelimit-limit", "ratelimit-remaining")
        if name in response.headers
    ]
    return ", ".join(said)


def _unreachable(endpoint: Endpoint, error: Exception) -> UpstreamError:
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return UpstreamError(
            f"the TLS certificate of {endpoint.server} is not trusted",
            remedy=f'name its CA: [registry."{endpoint.name}"] ca = "FILE" with --registries',
        )
    through = " through the proxy" if isinstance(error, ProxyError) else ""
    return UpstreamError(
        f"{endpoint.server} cannot be reached{through} ({_reason(error)})",
        meaning="Nothing was fetched from it.",
        remedy="check network, proxy (HTTPS_PROXY) and name; then give the same command again",
    )


def _reason(error: BaseException) -> str:
    """The innermost cause, which is the sentence that says something."""
    while True:
        inner = getattr(error, "reason", None) or error.__cause__
        if not isinstance(inner, BaseException):
            inner = next((arg for arg in error.args if isinstance(arg, BaseException)), None)
        if inner is None:
            break
        error = inner
    said = error.strerror if isinstance(error, OSError) else ""
    return said or str(error).rpartition(": ")[2] or type(error).__name__


def _wrong_digest(reference: Reference, wanted: str, actual: str) -> IntegrityError:
    return IntegrityError(
        f"{reference}: the bytes served are {actual}, and {wanted} was asked for",
        meaning="The registry, or something before it, is faulty or lies.",
    )
