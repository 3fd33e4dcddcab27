"""Pushing to a registry: manifests and blobs over HTTP (OCI distribution spec, "Push")."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit

import requests

from airgap.errors import AirgapError, CredentialsError, IntegrityError, UpstreamError
from airgap.limits import KIB, LIMITS
from airgap.oci import failures
from airgap.oci.attempts import WRONG_TRIES, Attempts, TemporaryError, persist
from airgap.oci.blob_reader import read_document
from airgap.oci.connection import Body, Connection
from airgap.oci.credentials import Credentials
from airgap.oci.manifest import INDEX_TYPES, MANIFEST_TYPES, load_json
from airgap.oci.registries import Endpoint

_ACCEPT = {"Accept": ", ".join((*INDEX_TYPES, *MANIFEST_TYPES))}
_OK, _CREATED, _ACCEPTED, _NO_CONTENT = 200, 201, 202, 204
# A registry whose storage is elsewhere sends there, for what it has (distribution's `redirect`).
_REDIRECTS = (301, 302, 303, 307, 308)
_UNAUTHORISED, _FORBIDDEN, _NOT_FOUND, _NOT_ALLOWED = 401, 403, 404, 405
_RANGE = re.compile(r"(?:bytes=)?0-([0-9]{1,18})")
_CODE = re.compile(r"[A-Z_]{1,40}")
# What it says of uploads that have to begin anew.
_LOST = ("DIGEST_INVALID", "BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID", "RANGE_INVALID")
# Patience begins anew when so much more of a blob went out than ever before.
_PROGRESS_BYTES = 64 * KIB


class Way(StrEnum):
    """How a repository got a blob."""

    PRESENT = "present"
    MOUNTED = "mounted"
    PUSHED = "pushed"


class RefusedError(UpstreamError):
    """A registry does not take what was pushed.

    Attributes:
        code: Of the distribution spec, "Error Codes"; empty if it states none.
    """

    def __init__(self, message: str, code: str, *, meaning: str = "") -> None:
        super().__init__(message, meaning=meaning)
        self.code = code


@dataclass(frozen=True, slots=True)
class Blob:
    """A blob that is to be pushed.

    Attributes:
        digest: Of its bytes.
        size: Of them.
        read: Gives its bytes, the last ones only if the digest holds.
    """

    digest: str
    size: int
    read: Callable[[], Iterable[bytes | memoryview]]


class PushClient:
    """Pushes to one registry. Safe to use from threads.

    Args:
        server: `HOST[:PORT]` of the registry.
        ca: A PEM file with the authority that vouches for it; None for those of the system.
        credentials: Where user name and password come from.
        timeout: Seconds to wait for a connection, and for each piece of an answer.
        retry_for: Seconds for which failures are borne while nothing goes out.
        pause: Waits so many seconds; may raise to end it all.
        say: Is told of failures that are waited out.
    """

    def __init__(  # noqa: PLR0913 - all but the first three have defaults
        self,
        server: str,
        ca: Path | None,
        credentials: Credentials,
        *,
        timeout: float = 30,
        retry_for: float = 300,
        pause: Callable[[float], object] = time.sleep,
        say: Callable[[str], object] = lambda _: None,
    ) -> None:
        self.server = server
        self._ca = ca
        self._connection = Connection(credentials, timeout)
        self._retry_for, self._pause, self._say = retry_for, pause, say

    def close(self) -> None:
        """Closes all connections."""
        self._connection.close()

    def served(self, repository: str, target: str) -> str:
        """The digest under which a tag or digest is served; empty if it is not.

        Raises:
            CredentialsError: Credentials are missing or wrong.
            UpstreamError: The registry is unreachable, or refuses.
        """

        def ask() -> str:
            response = self._send("HEAD", repository, f"manifests/{target}", headers=_ACCEPT)
            self._expect(response, repository, _OK, _NOT_FOUND)
            if response.status_code == _NOT_FOUND:
                return ""
            return response.headers.get("Docker-Content-Digest", "")[: LIMITS.header_characters]

        return persist(ask, self.attempts())

    def manifest(self, repository: str, target: str, media_type: str, body: bytes) -> None:
        """Pushes a manifest or index under a tag or its digest.

        Raises:
            RefusedError: The registry does not take it.
            CredentialsError: Credentials are missing or wrong.
            UpstreamError: The registry is unreachable, or refuses.
        """

        def put() -> None:
            headers = {"Content-Type": media_type}
            path = f"manifests/{target}"
            response = self._send("PUT", repository, path, headers=headers, body=body)
            self._expect(response, repository, _CREATED, _OK, _ACCEPTED)

        persist(put, self.attempts())

    def blob(self, repository: str, blob: Blob, source: str, sent: Callable[[int], object]) -> Way:
        """Brings a blob into a repository, from where a broken upload ended, if the registry can.

        Args:
            repository: Where to.
            blob: What.
            source: A repository of the same registry that has it; empty if none is known to.
            sent: Is told of bytes that went out; of fewer than nothing if they have to go again.

        Raises:
            IntegrityError: The bytes are not those of the digest; nothing was finished.
            CredentialsError: Credentials are missing or wrong.
            UpstreamError: The registry is unreachable, or refuses.
        """
        attempts, upload = self.attempts(), _Upload(blob, sent)
        wrong = 0
        while True:
            attempts.begin()
            try:
                return self._try_blob(repository, upload, source, attempts)
            except TemporaryError as error:
                attempts.failed(error)
            except _LostError:
                wrong += 1
                upload.url = ""
                if wrong == WRONG_TRIES:
                    raise

    def attempts(self) -> Attempts:
        """The tries of one piece of work, with this client's patience."""
        return Attempts(self._retry_for, self._pause, self._say)

    def _try_blob(self, repository: str, upload: _Upload, source: str, attempts: Attempts) -> Way:
        self._resume(repository, upload)
        if not upload.url:
            if self._has(repository, upload.blob.digest):
                return Way.PRESENT
            if self._begin(repository, upload, source):
                return Way.MOUNTED
        try:
            if upload.start < upload.blob.size:
                self._append(repository, upload, attempts)
            self._finish(repository, upload)
        except RefusedError as error:
            if error.code in _LOST:
                raise _LostError(
                    f"{self.server} has not received {upload.blob.digest} as it was sent",
                    meaning=f"It says {error.code}, and the bytes are right here. The registry, "
                    "or something before it, is faulty.",
                ) from error
            raise
        return Way.PUSHED

    def _has(self, repository: str, digest: str) -> bool:
        response = self._send("HEAD", repository, f"blobs/{digest}")
        self._expect(response, repository, _OK, _NOT_FOUND, *_REDIRECTS)
        return response.status_code != _NOT_FOUND

    def _begin(self, repository: str, upload: _Upload, source: str) -> bool:
        """Begins an upload; whether the registry has taken the blob from `source` instead."""
        query = f"?mount={upload.blob.digest}&from={quote(source)}" if source else ""
        response = self._send("POST", repository, f"blobs/uploads/{query}")
        self._expect(response, repository, _ACCEPTED, _CREATED)
        if response.status_code == _CREATED:
            return True
        upload.continues(self._location(response), 0)
        return False

    def _resume(self, repository: str, upload: _Upload) -> None:
        """Finds out how much of a broken upload has arrived; it begins anew where that is lost."""
        if not upload.url:
            return
        url, upload.url = upload.url, ""
        response = self._send("GET", repository, url)
        self._body_of(response)
        arrived = _RANGE.fullmatch(response.headers.get("Range", ""))
        if response.status_code not in (_OK, _NO_CONTENT) or arrived is None:
            return
        start = int(arrived[1]) + 1
        # Of one byte and of none, registries say the same.
        if 1 < start <= upload.blob.size:
            upload.continues(self._location(response), start)

    def _append(self, repository: str, upload: _Upload, attempts: Attempts) -> None:
        headers = {"Content-Type": "application/octet-stream"}
        if upload.start:
            headers["Content-Range"] = f"{upload.start}-{upload.blob.size - 1}"
        body = _Rest(upload, attempts)
        response = self._send("PATCH", repository, upload.url, headers=headers, body=body)
        self._expect(response, repository, _ACCEPTED, _NO_CONTENT, _CREATED)
        upload.continues(self._location(response), upload.blob.size)

    def _finish(self, repository: str, upload: _Upload) -> None:
        joint = "&" if urlsplit(upload.url).query else "?"
        url = f"{upload.url}{joint}digest={quote(upload.blob.digest)}"
        response = self._send("PUT", repository, url)
        self._expect(response, repository, _CREATED, _NO_CONTENT)

    def _location(self, response: requests.Response) -> str:
        """Where an upload goes on: always at the registry that was named.

        Raises:
            UpstreamError: It sends elsewhere.
        """
        try:
            found = urlsplit(urljoin(response.url, response.headers.get("Location", "")))
            here = urlsplit(response.url)
        except ValueError:
            found = here = urlsplit("")
        if not found.path or found.hostname != here.hostname:
            raise UpstreamError(
                f"{self.server} sends uploads to {found.netloc[:200] or 'no address'}",
                meaning="Nothing is pushed to another server than the one that was named.",
                remedy="have the registry state its own address, or a relative one "
                "(distribution: http.relativeurls)",
            )
        # A proxy before the registry may have hidden its scheme and port from it.
        return found._replace(scheme=here.scheme, netloc=here.netloc, fragment="").geturl()

    def _send(
        self,
        method: str,
        repository: str,
        target: str,
        *,
        headers: dict[str, str] | None = None,
        body: Body | bytes | None = None,
    ) -> requests.Response:
        """An answer of any status.

        Args:
            method: Of the request.
            repository: Whose it is.
            target: A path in the repository, or a whole address.
            headers: Further ones.
            body: What is sent.
        """
        endpoint = Endpoint(self.server, self.server, repository, ca=self._ca)
        try:
            url = target if "://" in target else self._connection.url(endpoint, target)
            response = self._connection.send(
                method, endpoint, url, headers or {}, body=body, redirects=False
            )
        except CredentialsError as error:
            raise self._no_account(repository) from error
        except UpstreamError as error:
            if "certificate" in error.message:
                error.remedy = "name the authority that vouches for it: --ca FILE"
            raise
        return response

    def _expect(self, response: requests.Response, repository: str, *statuses: int) -> None:
        """Ends an exchange whose answer says nothing further.

        Raises:
            AirgapError: Its status is none of those.
        """
        body = self._body_of(response)
        if response.status_code not in statuses:
            raise self._refused(response, repository, _error_code(body))

    def _body_of(self, response: requests.Response) -> bytes:
        """What little a registry says; read to its end, so that the connection is used again."""
        with response:
            try:
                timeout = self._connection.timeout
                return read_document(response, "an answer", LIMITS.response_bytes, timeout)
            except TemporaryError:
                return b""  # its status was there before

    def _refused(self, response: requests.Response, repository: str, code: str) -> AirgapError:
        status = response.status_code
        if status in (_UNAUTHORISED, _FORBIDDEN):
            return self._no_account(repository)
        what = f"{status} {code}".rstrip()
        message = f"{self.server} answered {what} for {repository}"
        if isinstance(failures.refusal(message, response), TemporaryError):
            return failures.refusal(message, response)
        meaning = ""
        if status == _NOT_ALLOWED:
            meaning = "It takes no pushes: it is read-only, or a cache."
        elif status == _NOT_FOUND:
            meaning = "It may have no such project yet; some registries want it made first."
        elif status in _REDIRECTS:
            meaning = "It sends elsewhere, and nothing is pushed to another server."
        return RefusedError(message, code, meaning=meaning)

    def _no_account(self, repository: str) -> CredentialsError:
        return CredentialsError(
            f"{self.server} refuses {repository}",
            meaning="There are no credentials for it here, they are wrong, or that account may "
            "not do it.",
            remedy=f"docker login {self.server} (with sudo if airgap runs with sudo)",
        )


def _error_code(body: bytes) -> str:
    """The first code in an answer (distribution spec, "Error Codes"); empty if there is none."""
    try:
        code = str(load_json(body, "an error", LIMITS.response_bytes)["errors"][0]["code"])
    except (AirgapError, KeyError, IndexError, TypeError):
        return ""
    return code if _CODE.fullmatch(code) else ""


class _LostError(IntegrityError):
    """An upload came to nothing at the registry."""


class _Upload:
    """A blob on its way.

    Args:
        blob: What is uploaded.
        sent: Is told of bytes that went out.
    """

    def __init__(self, blob: Blob, sent: Callable[[int], object]) -> None:
        self.blob = blob
        self.url = ""
        self.start = self.most = self._told = 0
        self._sent = sent

    def continues(self, url: str, start: int) -> None:
        """The next byte goes to this address, and is that one."""
        self.url = url
        self.start = start
        self.reached(start)

    def reached(self, position: int) -> None:
        """So many bytes went out in all."""
        self._sent(position - self._told)
        self._told = position


class _Rest:
    """The bytes of an upload from its start on; a request that is repeated reads them again.

    They are read from the blob's beginning, so that its digest is always checked.
    """

    def __init__(self, upload: _Upload, attempts: Attempts) -> None:
        self._upload, self._attempts = upload, attempts

    def __len__(self) -> int:
        return self._upload.blob.size - self._upload.start

    def __iter__(self) -> Iterator[bytes | memoryview]:
        upload, position = self._upload, 0
        for chunk in upload.blob.read():
            begin = max(0, upload.start - position)
            position += len(chunk)
            if begin < len(chunk):
                yield chunk[begin:]
                upload.reached(position)
            if position >= upload.most + _PROGRESS_BYTES:
                upload.most = position
                self._attempts.progressed()
