"""Blobs from the middle on, from servers that can, cannot or lie, and which server is asked."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from airgap.errors import AirgapError, NotFoundError
from airgap.oci import registry as module
from airgap.oci.blob_reader import BlobReader
from airgap.oci.credentials import Credentials
from airgap.oci.digest import digest_of
from airgap.oci.manifest import Descriptor
from airgap.oci.reference import Reference
from airgap.oci.registries import Registries, RegistryConfig
from airgap.oci.registry import RegistryClient
from airgap.oci.retry import TemporaryError
from lab.upstream import Upstream
from tests.integration.conftest import SINGLE
from tests.integration.faults import Answer, Exchange, Fault, FaultProxy, answers, breaks_off

_START = 5_000


@dataclass(frozen=True, slots=True)
class Blob:
    """A layer that the registry has."""

    digest: str
    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)


@dataclass(frozen=True, slots=True)
class Asker:
    """Asks for one blob of one image.

    Attributes:
        client: Under test.
        reference: The image.
        blob: What is asked for.
    """

    client: RegistryClient
    reference: Reference
    blob: Blob

    @contextmanager
    def opened(self, start: int = 0) -> Iterator[BlobReader]:
        with self.client.blob(self.reference, self.blob.digest, self.blob.size, start) as reader:
            yield reader

    def read(self, start: int = 0) -> tuple[int, bytes]:
        """The reader's own start, and all that came."""
        with self.opened(start) as reader:
            return reader.start, b"".join(iter(reader.read, b""))


@pytest.fixture(scope="module")
def blob(registry: Upstream) -> Blob:
    with FaultProxy(registry.address) as proxy, client_for(proxy) as client:
        reference = Reference(proxy.address, SINGLE, "1")
        _, body = client.manifest(reference)
        layer = json.loads(body)["layers"][0]
        descriptor = Descriptor(layer["mediaType"], layer["digest"], layer["size"])
        return Blob(descriptor.digest, client.small_blob(reference, descriptor))


@contextmanager
def client_for(proxy: FaultProxy, *mirrors: FaultProxy) -> Iterator[RegistryClient]:
    sections = {mirror.address: RegistryConfig(http=True) for mirror in mirrors}
    names = tuple(mirror.address for mirror in mirrors)
    sections[proxy.address] = RegistryConfig(names, http=True)
    client = RegistryClient(Registries(sections), Credentials(), timeout=5, retry_for=2)
    try:
        yield client
    finally:
        client.close()


@pytest.fixture
def asker(proxy: FaultProxy, blob: Blob) -> Iterator[Asker]:
    with client_for(proxy) as client:
        yield Asker(client, Reference(proxy.address, SINGLE, "1"), blob)


@pytest.fixture
def mirror(registry: Upstream) -> Iterator[FaultProxy]:
    with FaultProxy(registry.address) as server:
        yield server


@pytest.fixture
def mirrored(proxy: FaultProxy, mirror: FaultProxy, blob: Blob) -> Iterator[Asker]:
    """Asks the mirror first."""
    with client_for(proxy, mirror) as client:
        yield Asker(client, Reference(proxy.address, SINGLE, "1"), blob)


def ranges(proxy: FaultProxy) -> list[str]:
    """The ranges that were asked for, empty for a whole blob."""
    return [request.headers.get("range", "") for request in proxy.requests if request.is_blob]


def rewritten(change: Callable[[Answer], Answer]) -> Fault:
    """A fault: another answer to requests for a range."""

    def fault(exchange: Exchange) -> bool:
        wrong = exchange.request_seen.is_blob and "range" in exchange.request_seen.headers
        if wrong:
            answer = change(exchange.fetched())
            exchange.answer(answer.status, answer.headers, answer.body)
        return wrong

    return fault


def without_range(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() != "content-range"}


def test_a_blob_is_asked_for_whole_where_nothing_is_here(asker: Asker, proxy: FaultProxy) -> None:
    assert asker.read() == (0, asker.blob.data)
    assert ranges(proxy) == [""]


@pytest.mark.parametrize("start", [1, _START, -1])
def test_a_blob_continues_from_where_it_broke_off(
    asker: Asker, proxy: FaultProxy, start: int
) -> None:
    start %= asker.blob.size
    assert asker.read(start) == (start, asker.blob.data[start:])
    assert ranges(proxy) == [f"bytes={start}-"]


def test_a_connection_that_breaks_half_way_loses_nothing(asker: Asker, proxy: FaultProxy) -> None:
    proxy.fault = breaks_off(lambda request: request.is_blob, times=1)
    got = bytearray()
    with pytest.raises(TemporaryError, match="the connection broke"), asker.opened() as reader:
        while True:
            got += reader.read(1_000)
    assert got == asker.blob.data[: asker.blob.size // 2]
    _, rest = asker.read(len(got))
    assert digest_of(bytes(got + rest)) == asker.blob.digest
    assert ranges(proxy) == ["", f"bytes={len(got)}-"]


def test_a_range_is_kept_by_a_redirect_to_where_the_bytes_are(
    asker: Asker, proxy: FaultProxy, mirror: FaultProxy
) -> None:
    path = f"/v2/{SINGLE}/blobs/{asker.blob.digest}"
    location = {"Location": f"http://{mirror.address}{path}"}
    proxy.fault = answers(307, location, when=lambda request: request.is_blob)
    assert asker.read(_START) == (_START, asker.blob.data[_START:])
    assert ranges(mirror) == [f"bytes={_START}-"]


@pytest.mark.parametrize(
    "value",
    [
        "",
        "bytes 0-{last}/{size}",
        "bytes 4999-{last}/{size}",
        "bytes 5000-{last}/{last}",
        "bytes 5000-6000/{size}",
        "bytes 5000-{size}/{size}",
        "bytes */{size}",
        "items 5000-{last}/{size}",
        "bytes " + "9" * 5_000 + "-{last}/{size}",
    ],
    ids=lambda value: value[:24],
)
def test_a_part_that_is_not_the_one_asked_for_is_not_taken(
    asker: Asker, proxy: FaultProxy, value: str
) -> None:
    stated = value.format(size=asker.blob.size, last=asker.blob.size - 1)

    def lies(answer: Answer) -> Answer:
        assert answer.status == 206
        headers = without_range(answer.headers) | ({"Content-Range": stated} if stated else {})
        return Answer(206, headers, answer.body)

    proxy.fault = rewritten(lies)
    assert asker.read(_START) == (0, asker.blob.data)
    assert ranges(proxy) == [f"bytes={_START}-", ""]


def test_a_part_of_a_whole_that_is_not_stated_is_taken(asker: Asker, proxy: FaultProxy) -> None:
    stated = f"bytes {_START}-{asker.blob.size - 1}/*"
    proxy.fault = rewritten(
        lambda answer: Answer(
            206, without_range(answer.headers) | {"Content-Range": stated}, answer.body
        )
    )
    assert asker.read(_START) == (_START, asker.blob.data[_START:])


@pytest.mark.parametrize("stated", ["", "bytes */{size}", "bytes 5000-{last}/{size}"])
def test_a_server_that_refuses_ranges_is_asked_for_all(
    asker: Asker, proxy: FaultProxy, stated: str
) -> None:
    value = stated.format(size=asker.blob.size, last=asker.blob.size - 1)
    headers = {"Content-Range": value} if value else {}
    proxy.fault = rewritten(lambda answer: Answer(416, headers, b"no such range"))
    assert asker.read(_START) == (0, asker.blob.data)


def test_a_server_without_ranges_is_asked_for_none_again(asker: Asker, proxy: FaultProxy) -> None:
    proxy.fault = rewritten(lambda answer: Answer(416, {}, b""))
    for _ in range(3):
        assert asker.read(_START) == (0, asker.blob.data)
    assert ranges(proxy) == [f"bytes={_START}-", "", "", ""]


def test_a_server_that_ignores_ranges_begins_with_the_first_byte(
    asker: Asker, proxy: FaultProxy
) -> None:
    proxy.fault = rewritten(lambda answer: Answer(200, {}, asker.blob.data))
    assert asker.read(_START) == (0, asker.blob.data)
    assert ranges(proxy) == [f"bytes={_START}-"]


@pytest.mark.parametrize("whole", [True, False])
def test_a_connection_is_used_again_after_a_body_was_read_in_full(
    asker: Asker, proxy: FaultProxy, whole: bool
) -> None:
    ports: list[int] = []

    def notes(exchange: Exchange) -> bool:
        ports.append(exchange.client_address[1])
        return False

    proxy.fault = notes
    for _ in range(2):
        with asker.opened() as reader:
            count = 0
            while count < (asker.blob.size if whole else 1):
                count += len(reader.read(100))
    assert (ports[0] == ports[1]) is whole


def test_a_mirror_that_broke_off_is_asked_last_for_a_while(
    mirrored: Asker, proxy: FaultProxy, mirror: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror.fault = breaks_off(lambda request: request.is_blob, times=1)
    with pytest.raises(TemporaryError):
        mirrored.read()
    assert (len(mirror.blobs), len(proxy.blobs)) == (1, 0)
    assert mirrored.read(_START) == (_START, mirrored.blob.data[_START:])
    assert (len(mirror.blobs), len(proxy.blobs)) == (1, 1)
    later = time.monotonic() + module._DETOUR_SECONDS
    monkeypatch.setattr(time, "monotonic", lambda: later)
    mirrored.read()
    assert (len(mirror.blobs), len(proxy.blobs)) == (2, 1)


def test_a_mirror_that_sent_wrong_bytes_is_asked_last_for_a_while(
    mirrored: Asker, proxy: FaultProxy, mirror: FaultProxy
) -> None:
    with mirrored.opened() as reader:
        assert reader.server == mirror.address
    mirrored.client.avoid(reader.server)
    with mirrored.opened() as reader:
        assert reader.server == proxy.address


def test_a_mirror_that_is_avoided_is_asked_all_the_same_where_no_other_has_it(
    mirrored: Asker, proxy: FaultProxy, mirror: FaultProxy
) -> None:
    mirrored.client.avoid(mirror.address)
    proxy.fault = answers(503, when=lambda request: True)
    assert mirrored.read() == (0, mirrored.blob.data)
    assert (len(mirror.blobs), len(proxy.blobs)) == (1, 1)


def test_a_mirror_without_the_blob_is_asked_first_for_the_next(
    mirrored: Asker, proxy: FaultProxy, mirror: FaultProxy
) -> None:
    mirror.fault = answers(404, when=lambda request: True)
    for _ in range(2):
        assert mirrored.read() == (0, mirrored.blob.data)
    assert (len(mirror.blobs), len(proxy.blobs)) == (2, 2)


def test_a_mirror_that_is_down_costs_no_patience(
    mirrored: Asker, proxy: FaultProxy, mirror: FaultProxy
) -> None:
    mirror.fault = answers(503, when=lambda request: True)
    for _ in range(3):
        mirrored.client.manifest(mirrored.reference)
    assert (len(mirror.requests), len(proxy.requests)) == (1, 3)


@pytest.mark.parametrize("avoided", [False, True])
def test_the_registry_has_the_last_word_though_a_mirror_is_down(
    mirrored: Asker, proxy: FaultProxy, mirror: FaultProxy, avoided: bool
) -> None:
    if avoided:
        mirrored.client.avoid(proxy.address)
    mirror.fault = answers(503, when=lambda request: True)
    proxy.fault = answers(404, when=lambda request: True)
    with pytest.raises(NotFoundError) as caught:
        mirrored.client.manifest(mirrored.reference)
    assert f"Also asked: {mirror.address} answered 503" in caught.value.meaning
    assert (len(mirror.requests), len(proxy.requests)) == (1, 1)  # nothing is tried again


def test_a_mirror_without_an_image_does_not_make_a_registry_that_is_down_final(
    mirrored: Asker, proxy: FaultProxy, mirror: FaultProxy
) -> None:
    mirror.fault = answers(404, when=lambda request: True)
    proxy.fault = answers(503, when=lambda request: True)
    with pytest.raises(TemporaryError) as caught:
        mirrored.client.manifest(mirrored.reference)
    assert caught.value.message.startswith(f"{proxy.address} answered 503")
    assert len(proxy.requests) > 1


def test_a_redirect_that_breaks_off_is_an_error_like_any_other(
    asker: Asker, proxy: FaultProxy, mirror: FaultProxy
) -> None:
    def breaks(exchange: Exchange) -> bool:
        exchange.begin(307, {"Location": f"http://{mirror.address}/v2/"}, 1_000)
        exchange.wfile.write(b"moved")
        exchange.close_connection = True
        return True

    proxy.fault = breaks
    with pytest.raises(AirgapError):
        asker.read()
