"""The registry client: manifests and blobs over HTTP (OCI distribution spec, "Pull")."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from airgap import __version__
from airgap.errors import AirgapError, IntegrityError, NotFoundError, UpstreamError
from airgap.limits import LIMITS
from airgap.oci.authorization import Authorization, refused
from airgap.oci.credentials import Credentials
from airgap.oci.digest import digest_of
from airgap.oci.manifest import INDEX_TYPES, MANIFEST_TYPES, Descriptor
from airgap.oci.reference import Reference
from airgap.oci.registries import Endpoint, Registries

_ACCEPT = ", ".join((*INDEX_TYPES, *MANIFEST_TYPES))
_RETRIED = (429, 500, 502, 503, 504)
_NOT_FOUND, _UNAUTHORISED, _FORBIDDEN, _TOO_MANY = 404, 401, 403, 429
# Where distributions keep the system's CA certificates.
_CA_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
_T = TypeVar("_T")


class BlobReader:
    """The body of a blob; its bytes are not verified."""

    def __init__(self, response: requests.Response, what: str) -> None:
        self._raw = response.raw
        self._what = what

    def readinto(self, buffer: memoryview) -> int:
        """Fills the buffer's beginning and returns how many bytes; 0 at the end.

        Raises:
            UpstreamError: The connection broke.
        """
        try:
            return int(self._raw.readinto(buffer))
        except (HTTPError, OSError) as error:
            raise UpstreamError(
                f"the connection broke while {self._what} was read ({_reason(error)})",
                remedy="give the same command again: finished blobs are kept",
            ) from error


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
        self._authorization = Authorization(credentials)
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
        return self._ask(reference, lambda endpoint: self._manifest(endpoint, reference))

    def small_blob(self, reference: Reference, descriptor: Descriptor) -> bytes:
        """A config, verified.

        Raises:
            AirgapError: As for `manifest`.
        """
        if descriptor.size > LIMITS.config_bytes:
            raise IntegrityError(f"the config of {reference} is larger than any should be")
        with self.blob(reference, descriptor.digest, descriptor.size) as reader:
            body = bytearray(descriptor.size)
            view, filled = memoryview(body), 0
            while filled < len(body) and (count := reader.readinto(view[filled:])):
                filled += count
        if digest_of(bytes(body)) != descriptor.digest:
            raise _wrong_digest(reference, descriptor.digest, digest_of(bytes(body)))
        return bytes(body)

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
            yield BlobReader(response, f"{digest} of {reference}")

    def _manifest(self, endpoint: Endpoint, reference: Reference) -> tuple[Descriptor, bytes]:
        path = f"manifests/{reference.target}"
        with self._get(endpoint, path, _ACCEPT) as response:
            media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
            try:
                body = response.raw.read(LIMITS.manifest_bytes + 1, decode_content=True)
            except (HTTPError, OSError) as error:
                raise _unreachable(endpoint, error) from error
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
            last.meaning = "Asked before it: " + "; ".join(
                failure.message for failure in failures[:-1]
            )
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
        waits = response.headers.get("Retry-After")
        limits = [
            f"{name} {response.headers[name]}"
            for name in ("ratelimit-limit", "ratelimit-remaining")
            if name in response.headers
        ]
        tried = f", {self._attempts} times" if status in _RETRIED else ""
        return UpstreamError(
            f"{endpoint.name} answered {status}{tried} for {endpoint.repository}",
            meaning=", ".join(
                (["It limits how often it may be asked"] if status == _TOO_MANY else [])
                + ([f"try again in {waits} seconds"] if waits else [])
                + limits
            ),
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
            with _new_session(endpoint, attempts=1) as session:
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
            sessions[key] = _new_session(endpoint, self._attempts)
            self._sessions.append(sessions[key])
        session: requests.Session = sessions[key]
        return session


def _new_session(endpoint: Endpoint, attempts: int) -> requests.Session:
    retry = Retry(
        total=attempts - 1,
        status_forcelist=_RETRIED,
        allowed_methods=("GET",),
        backoff_factor=0.3,
        backoff_jitter=0.2,
        raise_on_status=False,
        respect_retry_after_header=False,
    )
    session = requests.Session()
    # A callable that adds nothing: else requests would put ~/.netrc over our header.
    session.auth = lambda request: request
    session.headers.update({"User-Agent": f"airgap/{__version__}", "Accept-Encoding": "identity"})
    session.verify = str(endpoint.ca or _system_ca() or "") or True
    if endpoint.is_loopback:
        session.trust_env = False
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    return session


def _system_ca() -> Path | None:
    """The system's CA bundle, if it has one where it is usually kept."""
    configured = ssl.get_default_verify_paths().cafile
    candidates = [Path(text) for text in (configured, *_CA_BUNDLES) if text]
    return next((path for path in candidates if path.is_file()), None)


def _unreachable(endpoint: Endpoint, error: Exception) -> UpstreamError:
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return UpstreamError(
            f"the TLS certificate of {endpoint.server} is not trusted",
            remedy=f'name its CA: [registry."{endpoint.name}"] ca = "FILE" with --registries',
        )
    return UpstreamError(
        f"{endpoint.server} cannot be reached ({_reason(error)})",
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
    text = str(error).rpartition(": ")[2] if not isinstance(error, OSError) else error.strerror
    return text or type(error).__name__


def _wrong_digest(reference: Reference, wanted: str, actual: str) -> IntegrityError:
    return IntegrityError(
        f"{reference}: the bytes served are {actual}, and {wanted} was asked for",
        meaning="The registry, or something before it, is faulty or lies.",
    )
