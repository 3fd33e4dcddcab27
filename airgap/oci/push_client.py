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

from airgap.errors import AirgapError, IntegrityError, UpstreamError
from airgap.limits import KIB, LIMITS
from airgap.oci import errors
from airgap.oci.blob_reader import read_document, read_words
from airgap.oci.connection import Body, Connection
from airgap.oci.credentials import Credentials
from airgap.oci.digest import digest_of
from airgap.oci.error_text import Words
from airgap.oci.manifest import INDEX_TYPES, MANIFEST_TYPES
from airgap.oci.registries import Endpoint
from airgap.oci.retry import WRONG_TRIES, RetryBudget, TemporaryError, retry

_ACCEPT = {"Accept": ", ".join((*INDEX_TYPES, *MANIFEST_TYPES))}
_OK, _CREATED, _ACCEPTED, _NO_CONTENT = 200, 201, 202, 204
# A registry whose storage is elsewhere sends there, for what it has (distribution's `redirect`).
_REDIRECTS = (301, 302, 303, 307, 308)
_UNAUTHORISED, _FORBIDDEN, _NOT_FOUND, _NOT_ALLOWED = 401, 403, 404, 405
_TOO_LARGE, _UNSUPPORTED_TYPE, _NOT_IMPLEMENTED, _FULL = 413, 415, 501, 507
# What it says of a way to ask, and not of what is asked for.
_WRONG_WAY = (_NOT_ALLOWED, _NOT_IMPLEMENTED)
_RANGE = re.compile(r"(?:bytes=)?0-([0-9]{1,18})")
# What it says of uploads that have to begin again.
_LOST = ("DIGEST_INVALID", "BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID", "RANGE_INVALID")
_MORE_ROOM = "ask who runs {server} for more room, then run the same command again"
_ELSEWHERE = "It sends elsewhere, and nothing is pushed to another server."
# What a status means for what was pushed, and what to do.
_EXPLAINED = {
    _FORBIDDEN: (
        "This account may not do it, or a rule or a quota of the registry forbids it.",
        "ask who runs {server}; with another account: docker login {server} (with sudo if airgap "
        "runs with sudo)",
    ),
    _NOT_ALLOWED: ("It takes no pushes: it is read-only, or a cache.", ""),
    _NOT_FOUND: ("It may have no such project yet; some registries want it made first.", ""),
    _TOO_LARGE: (
        "A quota is used up, or something before it limits how large uploads may be (nginx: "
        "client_max_body_size).",
        _MORE_ROOM,
    ),
    _FULL: ("Its storage is full, or a quota is used up.", _MORE_ROOM),
    **dict.fromkeys(_REDIRECTS, (_ELSEWHERE, "")),
}
# Seconds for which a registry may store and hash what it was sent before it answers.
_DIGESTION_SECONDS = 600.0
# Patience begins again when so much more of a blob went out than ever before.
_PROGRESS_BYTES = 64 * KIB


class BlobOutcome(StrEnum):
    """How a repository got a blob."""

    PRESENT = "present"
    MOUNTED = "mounted"
    PUSHED = "pushed"


class RefusedError(UpstreamError):
    """A registry does not take what was pushed.

    Attributes:
        status: Of its response.
        words: What it says.
    """

    def __init__(
        self, message: str, status: int, words: Words, *, meaning: str = "", remedy: str = ""
    ) -> None:
        super().__init__(message, meaning=words.with_meaning(meaning), remedy=remedy)
        self.status, self.words = status, words

    @property
    def said(self) -> str:
        """Its status and code, such as `412 DENIED`."""
        return f"{self.status} {self.words.code}".rstrip()


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
        ca: A PEM file with the CA that signed it; None for those of the system.
        credentials: Where user name and password come from.
        timeout: Seconds to wait for a connection, and for each piece of an answer.
        retry_for: Seconds for which failures are tolerated while nothing goes out.
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
        self._connection = Connection(credentials, timeout, actions="pull,push")
        self._retry_for, self._pause, self._say = retry_for, pause, say
        self._resumes, self._in_one = True, False

    def close(self) -> None:
        """Close all connections."""
        self._connection.close()

    def head_manifest(self, repository: str, target: str) -> str:
        """Return the digest under which a tag or digest is served; empty if it is not.

        Raises:
            CredentialsError: Credentials are missing or wrong.
            UpstreamError: The registry is unreachable, or refuses.
        """
        path = f"manifests/{target}"

        def ask() -> str:
            response = self._send("HEAD", repository, path, headers=_ACCEPT)
            words = read_words(response, self._timeout)
            if response.status_code == _NOT_FOUND:
                return ""
            if errors.is_temporary(response.status_code):
                raise self._refused(response, repository, words)
            stated = ""
            if response.status_code == _OK:
                stated = response.headers.get("Docker-Content-Digest", "")
            # Not all registries say it, or know HEAD; and a refusal has words only for a GET.
            stated = stated or self._digest(repository, path)
            return stated[: LIMITS.header_characters]

        return retry(ask, self.attempts())

    def push_manifest(self, repository: str, target: str, media_type: str, body: bytes) -> None:
        """Push a manifest or index under a tag or its digest.

        Raises:
            RefusedError: The registry does not take it.
            CredentialsError: Credentials are missing or wrong.
            UpstreamError: The registry is unreachable, or refuses.
        """

        def put() -> None:
            headers = {"Content-Type": media_type}
            path = f"manifests/{target}"
            response = self._send("PUT", repository, path, headers=headers, body=body)
            try:
                self._expect(response, repository, _CREATED, _OK, _ACCEPTED)
            except RefusedError as error:
                raise _of_type(error, self.server, media_type) from error

        retry(put, self.attempts())

    def takes(self, repository: str) -> bool:
        """Return whether a repository is there, or is made by the first push to it.

        An upload is begun, and given up.

        Raises:
            RefusedError: The registry takes no pushes.
            CredentialsError: Credentials are missing or wrong.
            UpstreamError: The registry is unreachable, or refuses.
        """

        def begin() -> bool:
            response = self._send("POST", repository, "blobs/uploads/")
            self._expect(response, repository, _ACCEPTED, _CREATED, _NOT_FOUND)
            if response.status_code == _ACCEPTED:
                # Whatever it answers: an upload that stays is removed by the registry some day.
                read_words(
                    self._send("DELETE", repository, self._location(response)),
                    self._connection.timeout,
                )
            return response.status_code != _NOT_FOUND

        return retry(begin, self.attempts())

    def push_blob(
        self, repository: str, blob: Blob, source: str, sent: Callable[[int], object]
    ) -> BlobOutcome:
        """Push a blob into a repository, from where a broken upload ended, if the registry can.

        Args:
            repository: Where to.
            blob: What.
            source: A repository of the same registry that has it; empty if none is known to.
            sent: Is told of bytes that are done; of fewer than nothing if they have to go again.

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
            except _WrongWayError:
                upload.url = ""

    def attempts(self) -> RetryBudget:
        """Return the tries of one piece of work, with this client's patience."""
        return RetryBudget(self._retry_for, self._pause, self._say)

    def _try_blob(
        self, repository: str, upload: _Upload, source: str, attempts: RetryBudget
    ) -> BlobOutcome:
        self._resume(repository, upload)
        if not upload.url:
            if self._has(repository, upload.blob.digest):
                upload.reached(upload.blob.size)
                return (
                    BlobOutcome.PUSHED if upload.is_sent else BlobOutcome.PRESENT
                )  # or its answer was lost
            if self._initiate_upload(repository, upload, source):
                upload.reached(upload.blob.size)
                return BlobOutcome.MOUNTED
        try:
            if self._in_one:
                self._commit_blob(repository, upload, _RemainingBytes(upload, attempts))
                return BlobOutcome.PUSHED
            if upload.start < upload.blob.size:
                self._stream_blob(repository, upload, attempts)
            self._commit_blob(repository, upload)
        except RefusedError as error:
            if error.words.code in _LOST:
                raise _LostError(
                    f"{self.server} has not received {upload.blob.digest} as it was sent",
                    meaning=f"It says {error.words.code}, and the bytes are right here. The "
                    "registry, or something before it, is faulty.",
                ) from error
            raise
        return BlobOutcome.PUSHED

    def _digest(self, repository: str, path: str) -> str:
        """Of the bytes of a manifest, as they come; empty if there is none.

        Raises:
            AirgapError: The registry refuses.
        """
        with self._send("GET", repository, path, headers=_ACCEPT) as response:
            if response.status_code != _OK:
                self._expect(response, repository, _NOT_FOUND)
                return ""
            body = read_document(response, "a manifest", LIMITS.manifest_bytes, self._timeout)
        return digest_of(body)

    def _has(self, repository: str, digest: str) -> bool:
        response = self._send("HEAD", repository, f"blobs/{digest}")
        self._expect(response, repository, _OK, _NOT_FOUND, *_REDIRECTS, *_WRONG_WAY)
        return response.status_code not in (_NOT_FOUND, *_WRONG_WAY)

    def _initiate_upload(self, repository: str, upload: _Upload, source: str) -> bool:
        """Begin an upload; whether the registry has taken the blob from `source` instead."""
        query = f"?mount={upload.blob.digest}&from={quote(source)}" if source else ""
        response = self._send("POST", repository, f"blobs/uploads/{query}")
        if source and response.status_code not in (_ACCEPTED, _CREATED):
            read_words(response, self._timeout)
            response = self._send("POST", repository, "blobs/uploads/")
        self._expect(response, repository, _ACCEPTED, _CREATED)
        if response.status_code == _CREATED:
            return True
        upload.continues(self._location(response), 0)
        return False

    def _resume(self, repository: str, upload: _Upload) -> None:
        """Find out how much of a broken upload has arrived; it begins again where that is lost."""
        if not upload.url or not self._resumes:
            upload.url = ""
            return
        response = self._send("GET", repository, upload.url)
        refused = self._refused(response, repository, read_words(response, self._timeout))
        if isinstance(refused, TemporaryError):
            raise refused
        upload.url = ""
        arrived = _RANGE.fullmatch(response.headers.get("Range", ""))
        if response.status_code not in (_OK, _NO_CONTENT) or arrived is None:
            return
        start = int(arrived[1]) + 1
        # Of one byte and of none, registries say the same.
        if 1 < start <= upload.blob.size:
            upload.continues(self._location(response), start)

    def _stream_blob(self, repository: str, upload: _Upload, attempts: RetryBudget) -> None:
        headers = {"Content-Type": "application/octet-stream"}
        if upload.start:
            headers["Content-Range"] = f"{upload.start}-{upload.blob.size - 1}"
        body = _RemainingBytes(upload, attempts)
        response = self._send("PATCH", repository, upload.url, headers=headers, body=body)
        try:
            self._expect(response, repository, _ACCEPTED, _NO_CONTENT, _CREATED)
        except RefusedError as error:
            self._check_way(upload, error)
            raise
        upload.is_sent = True
        upload.continues(self._location(response), upload.blob.size)

    def _check_way(self, upload: _Upload, error: RefusedError) -> None:
        """Find another way where a registry does not take bytes in the way that they came.

        A registry may tell how much has arrived, and not take the rest; or take a blob only in one
        request, with the end of its upload. Then all uploads to it do without that.

        Raises:
            _WrongWayError: There is another way; the blob begins again.
        """
        if error.status == _FORBIDDEN:
            return
        if not upload.start:
            if error.status in (_TOO_LARGE, _FULL) or error.words.code in _LOST:
                return
            self._in_one = True
        self._resumes = False
        raise _WrongWayError(error.message) from error

    def _commit_blob(
        self, repository: str, upload: _Upload, body: _RemainingBytes | None = None
    ) -> None:
        """End an upload, with all bytes of the blob where they did not go before."""
        joint = "&" if urlsplit(upload.url).query else "?"
        url = f"{upload.url}{joint}digest={quote(upload.blob.digest)}"
        headers = {"Content-Type": "application/octet-stream"} if body else {}
        response = self._send("PUT", repository, url, headers=headers, body=body)
        self._expect(response, repository, _CREATED, _NO_CONTENT)
        upload.is_sent = True

    def _location(self, response: requests.Response) -> str:
        """Return where an upload continues: always at the registry that was named.

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
        """Return an answer of any status.

        Args:
            method: Of the request.
            repository: Whose it is.
            target: A path in the repository, or a whole address.
            headers: Further ones.
            body: What is sent.
        """
        endpoint = self._endpoint(repository)
        try:
            url = target if "://" in target else self._connection.url(endpoint, target)
            response = self._connection.send(
                method,
                endpoint,
                url,
                headers or {},
                body=body,
                redirects=False,
                patience=_DIGESTION_SECONDS if method in ("PATCH", "PUT") else 0,
            )
        except UpstreamError as error:
            if "certificate" in error.message:
                remedy = "name its CA: --ca FILE, which may hold several certificates"
                raise error.but(remedy=remedy) from error
            raise
        return response

    def _endpoint(self, repository: str) -> Endpoint:
        return Endpoint(self.server, self.server, repository, ca=self._ca)

    @property
    def _timeout(self) -> float:
        return self._connection.timeout

    def _expect(self, response: requests.Response, repository: str, *statuses: int) -> None:
        """End an exchange whose answer says nothing further.

        Raises:
            AirgapError: It has another status.
        """
        words = read_words(response, self._timeout)
        if response.status_code not in statuses:
            raise self._refused(response, repository, words)

    def _refused(self, response: requests.Response, repository: str, words: Words) -> AirgapError:
        status = response.status_code
        if status == _UNAUTHORISED:
            return errors.refused(self._endpoint(repository), words, pushing=True)
        what = f"{status} {words.code}".rstrip()
        message = f"{self.server} answered {what} for {repository}"
        if errors.is_temporary(status):
            return errors.refusal(message, response, words)
        meaning, remedy = _EXPLAINED.get(status, ("", ""))
        remedy = remedy.format(server=self.server)
        if status in (_FORBIDDEN, _NOT_FOUND):
            remedy = (remedy + errors.if_too_deep(repository)).removeprefix("; ")
        return RefusedError(message, status, words, meaning=meaning, remedy=remedy)


def _of_type(error: RefusedError, server: str, media_type: str) -> RefusedError:
    """Return the error for a manifest, whose type a registry may not know."""
    if error.status != _UNSUPPORTED_TYPE:
        return error
    docker = "vnd.docker." in media_type
    kind = "images of Docker's media types" if docker else "manifests of the type"
    return RefusedError(
        error.message,
        error.status,
        error.words,
        meaning=f"It does not take {kind} ({media_type}).",
        remedy='have it take them; zot: "http": {"compat": ["docker2s2"]} in its configuration'
        if docker
        else f"have {server} take them, or push to a registry that does",
    )


class _LostError(IntegrityError):
    """An upload came to nothing at the registry."""


class _WrongWayError(Exception):
    """A registry does not take a blob in the way that was tried, and perhaps in another."""


class _Upload:
    """A blob on its way.

    Args:
        blob: What is uploaded.
        sent: Is told of bytes that went out.
    """

    def __init__(self, blob: Blob, sent: Callable[[int], object]) -> None:
        self.blob = blob
        self.url, self.is_sent = "", False
        self.start = self.most = self._reported = 0
        self._sent = sent

    def continues(self, url: str, start: int) -> None:
        """Note the address and offset of the next byte."""
        self.url = url
        self.start = start
        self.reached(start)

    def reached(self, position: int) -> None:
        """So many bytes went out in all."""
        self._sent(position - self._reported)
        self._reported = position


class _RemainingBytes:
    """The bytes of an upload from its start on; a request that is repeated reads them again.

    They are read from the blob's beginning, so that its digest is always checked.
    """

    def __init__(self, upload: _Upload, attempts: RetryBudget) -> None:
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
