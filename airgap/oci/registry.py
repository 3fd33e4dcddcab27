"""The registry client: manifests and blobs over HTTP (OCI distribution spec, "Pull").

An adapter stands for the network here; `foreign` has the client use it for this image:

>>> import io
>>> from airgap.oci.reference import parse_reference
>>> from urllib3 import HTTPResponse
>>> index = b'{"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'
>>> class Adapter(BoundedAdapter):
...     def send(self, request, *_args, **_named):
...         body = HTTPResponse(io.BytesIO(index), status=200, preload_content=False)
...         return self.build_response(request, body)
>>> image = parse_reference("registry.example.org/app:1.0")
>>> client = RegistryClient(Registries(), Credentials(), foreign=[image.name], public=Adapter)
>>> descriptor, served = client.manifest(image)
>>> descriptor.media_type, descriptor.digest == digest_of(index), served == index
('application/vnd.oci.image.index.v1+json', True, True)
>>> client.close()
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TypeVar

import requests

from airgap.errors import AirgapError, IntegrityError, NotFoundError, UpstreamError
from airgap.limits import LIMITS
from airgap.oci import errors
from airgap.oci.blob_reader import BlobReader, read_document, read_words, starts_at
from airgap.oci.bounded_head import BoundedAdapter
from airgap.oci.connection import Connection
from airgap.oci.credentials import Credentials
from airgap.oci.digest import digest_of
from airgap.oci.manifest import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    SCHEMA_1,
    Descriptor,
    is_document,
    sniffed_type,
)
from airgap.oci.reference import Reference
from airgap.oci.registries import Endpoint, Registries
from airgap.oci.retry import RetryBudget, TemporaryError, combine_errors, retry
from airgap.oci.session import NewAdapter
from airgap.oci.stall import LEAST_BESIDE_OTHERS, LEAST_BYTES_PER_SECOND, Speed

_ACCEPT = ", ".join((*INDEX_TYPES, *MANIFEST_TYPES))
_OK, _PARTIAL, _UNSATISFIABLE = 200, 206, 416
# Seconds for which a server that failed is asked after the others.
_DETOUR_SECONDS = 60.0
_T = TypeVar("_T")


class RegistryClient:
    """Asks registries, in the order that the configuration gives. Safe to use from threads.

    Args:
        registries: Mirrors, replacements, plain HTTP and CA files.
        credentials: Where user names and passwords come from.
        timeout: Seconds to wait for a connection, and for each piece of an answer.
        retry_for: Seconds for which failures are tolerated while nothing comes.
        say: Is told of failures that are waited out.
        foreign: Names of images, without tag and digest, that somebody else than the user asks for.
            Of their registries, and of what these send to, only public addresses are connected to,
            unless the file of registries names another place for them.
        public: Makes what connects to public addresses alone.
    """

    def __init__(  # noqa: PLR0913 - all but the first two have defaults
        self,
        registries: Registries,
        credentials: Credentials,
        *,
        timeout: float = 30,
        retry_for: float = 300,
        say: Callable[[str], object] = lambda _: None,
        foreign: Collection[str] = (),
        public: NewAdapter = BoundedAdapter,
    ) -> None:
        self._registries, self._foreign = registries, foreign
        self._connection = Connection(
            credentials, timeout, authorities=registries.authorities, public=public
        )
        self._timeout = timeout
        self._retry_for = retry_for
        self._say = say
        self._without_ranges: set[str] = set()
        self._avoided_until: dict[str, float] = {}
        self.rate_limits: dict[str, str] = {}
        """Registry to what it said last of how often it may still be asked."""

    def close(self) -> None:
        """Close all connections."""
        self._connection.close()

    def manifest(self, reference: Reference) -> tuple[Descriptor, bytes]:
        """Return a manifest or index by digest, or else by tag, with the bytes that were served.

        Raises:
            NotFoundError: There is none.
            CredentialsError: Credentials are missing or wrong.
            UpstreamError: The registry is unreachable, refuses, or answers with something else.
            IntegrityError: The bytes are not those of the digest.
        """
        return retry(
            lambda: self._ask(reference, lambda endpoint: self._manifest(endpoint, reference)),
            self.attempts(),
        )

    def small_blob(self, reference: Reference, descriptor: Descriptor) -> bytes:
        """Return a config, verified.

        Raises:
            AirgapError: As for `manifest`.
        """
        if descriptor.size > LIMITS.config_bytes:
            raise IntegrityError(f"the config of {reference} is larger than any should be")
        return retry(lambda: self._read_blob(reference, descriptor), self.attempts())

    @contextmanager
    def blob(
        self, reference: Reference, digest: str, size: int, start: int = 0
    ) -> Iterator[BlobReader]:
        """Yield the bytes of a blob, which the caller hashes; one try, no patience.

        Args:
            reference: The image that it belongs to.
            digest: Of the blob.
            size: Bytes of the whole blob.
            start: How many of them are here already. The reader's own `start` is 0 all the same
                if the server gives blobs only whole.

        Raises:
            AirgapError: As for `manifest`.
        """
        what = f"{digest} of {reference}"
        others = len(self._registries.endpoints(reference)) > 1
        least = LEAST_BESIDE_OTHERS if others else LEAST_BYTES_PER_SECOND

        def open_blob(endpoint: Endpoint) -> BlobReader:
            response = self._blob_response(endpoint, digest, size, start)
            _check_length(endpoint, response, what, size)
            first = start if response.status_code == _PARTIAL else 0
            speed = Speed(what, self._timeout, least)
            return BlobReader(response, what, endpoint.server, first, size, speed)

        with closing(self._ask(reference, open_blob)) as reader:
            try:
                yield reader
            except TemporaryError:
                self.avoid(reader.server)
                raise

    def attempts(self, pause: Callable[[float], object] = time.sleep) -> RetryBudget:
        """Return the tries of one piece of work, with this client's patience."""
        return RetryBudget(self._retry_for, pause, self._say)

    def avoid(self, server: str) -> None:
        """Have a server that failed, or sent wrong bytes, asked after the others for a while."""
        self._avoided_until[server] = time.monotonic() + _DETOUR_SECONDS

    def _read_blob(self, reference: Reference, descriptor: Descriptor) -> bytes:
        pieces = bytearray()
        with self.blob(reference, descriptor.digest, descriptor.size) as reader:
            while len(pieces) <= descriptor.size and (piece := reader.read()):
                pieces += piece
        body = bytes(pieces)
        if digest_of(body) != descriptor.digest:
            self.avoid(reader.server)
            raise errors.wrong_digest(reference, descriptor.digest, digest_of(body))
        return body

    def _blob_response(
        self, endpoint: Endpoint, digest: str, size: int, start: int
    ) -> requests.Response:
        """Return the blob from `start`, or whole where the server cannot do that."""
        path = f"blobs/{digest}"
        if start and endpoint.server not in self._without_ranges:
            headers = {"Accept": "*/*", "Range": f"bytes={start}-"}
            response = self._get(endpoint, path, headers, (_OK, _PARTIAL, _UNSATISFIABLE))
            status = response.status_code
            if status == _OK or (status == _PARTIAL and starts_at(response, start, size)):
                return response
            response.close()
            self._without_ranges.add(endpoint.server)
        return self._get(endpoint, path, {"Accept": "*/*"})

    def _manifest(self, endpoint: Endpoint, reference: Reference) -> tuple[Descriptor, bytes]:
        path = f"manifests/{reference.target}"
        with self._get(endpoint, path, {"Accept": _ACCEPT}) as response:
            media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
            if left := errors.remaining(response):
                self.rate_limits[endpoint.name] = left
            what = f"the manifest of {reference}"
            body = read_document(response, what, LIMITS.manifest_bytes, self._timeout)
        if not is_document(media_type):
            media_type = _own_type(endpoint, reference, media_type, body)
        if len(body) > LIMITS.manifest_bytes:
            raise IntegrityError(f"the manifest of {reference} is larger than 4 MiB")
        digest = digest_of(body)
        # A tag says nothing of its bytes, but the registry does (distribution spec, "Pull").
        stated = reference.digest or response.headers.get("Docker-Content-Digest", "")
        if stated.startswith("sha256:") and digest != stated:
            raise errors.wrong_digest(reference, stated, digest)
        return Descriptor(media_type, digest, len(body)), body

    def _ask(self, reference: Reference, ask: Callable[[Endpoint], _T]) -> _T:
        """Ask one endpoint after the other.

        Raises:
            AirgapError: None had it; see `combine_errors`.
        """
        endpoints = self._endpoints(reference)
        failed: dict[Endpoint, AirgapError] = {}
        for endpoint in sorted(endpoints, key=self._avoided_for):
            try:
                return ask(endpoint)
            except AirgapError as error:
                failed[endpoint] = error
                if isinstance(error, TemporaryError):
                    self.avoid(endpoint.server)
        raise combine_errors([failed[endpoint] for endpoint in endpoints])

    def _endpoints(self, reference: Reference) -> list[Endpoint]:
        """Return the places to ask for a reference, in order."""
        endpoints = self._registries.endpoints(reference)
        if reference.name not in self._foreign:
            return endpoints
        return [
            replace(
                endpoint,
                public=endpoint.name == reference.host and not (endpoint.http or endpoint.ca),
            )
            for endpoint in endpoints
        ]

    def _avoided_for(self, endpoint: Endpoint) -> float:
        """Return for how many seconds a server is still tried last."""
        return max(0.0, self._avoided_until.get(endpoint.server, 0) - time.monotonic())

    def _get(
        self,
        endpoint: Endpoint,
        path: str,
        headers: dict[str, str],
        accepted: tuple[int, ...] = (_OK,),
    ) -> requests.Response:
        """Return a response with a status that is accepted, its body not read yet."""
        url = self._connection.url(endpoint, path)
        response = self._connection.send("GET", endpoint, url, headers)
        if response.status_code in accepted:
            return response
        words = read_words(response, self._timeout)
        raise errors.bad_status(endpoint, response, path, words)


def _own_type(endpoint: Endpoint, reference: Reference, served: str, body: bytes) -> str:
    """Return the media type of a document that was served as something else, such as plain JSON.

    Raises:
        NotFoundError: It is a manifest of a kind that cannot be carried.
        UpstreamError: It is no manifest.
    """
    own = sniffed_type(body)
    if is_document(own):
        return own
    if own.startswith(SCHEMA_1) or served.startswith(SCHEMA_1):
        raise NotFoundError(
            f"{reference} is an image in Docker's format of before 2016 (schema 1)",
            meaning="Docker and BuildKit no longer read that format.",
            remedy="have somebody push the image again with a current Docker, or leave it out",
        )
    if own:
        raise NotFoundError(
            f"{reference} is not an image: its manifest is of the type {own[:200]!r}",
            meaning="A bundle includes images, and what their indexes name.",
            remedy="leave it out, and copy it with the tool that made it",
        )
    raise UpstreamError(
        f"{endpoint.name} answered {served or 'no type'!r} for {reference}",
        meaning="That is no manifest. A proxy's login page may have answered.",
    )


def _check_length(endpoint: Endpoint, response: requests.Response, what: str, size: int) -> None:
    """Refuse a whole answer that says that it has another length than the blob.

    Raises:
        UpstreamError: It does.
    """
    length = response.headers.get("Content-Length")
    if response.status_code == _OK and length not in (None, str(size)):
        response.close()
        kind = response.headers.get("Content-Type", "no type")
        raise UpstreamError(
            f"{endpoint.name} answered {length} bytes of {kind} for {what}, which has {size} bytes",
            meaning="Something between here and the registry answers in its place.",
        )
