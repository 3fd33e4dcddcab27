"""What is connected to where names have refused addresses: over real sockets of loopback."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any, TypeAlias

import pytest
import requests

from airgap.connected.public_addresses import PublicAdapter, RefusedAddressError

Found: TypeAlias = list[tuple[Any, ...]]


class Names:
    """Names mean what a test says, one answer after the other, as a hostile server would."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> None:
        self._answers = list(answers)
        self._real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self._resolve)

    def _resolve(
        self,
        host: str,
        port: int,
        family: int = 0,
        kind: int = 0,
        protocol: int = 0,
        flags: int = 0,
    ) -> Found:
        if flags or not host.endswith(".example"):
            return self._real(host, port, family, kind, protocol, flags)
        texts = self._answers.pop(0)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (text, port)) for text in texts]


@pytest.fixture
def session() -> requests.Session:
    """Connects to 127.0.0.1 as if it were public, and to 127.0.0.2 as if it were private."""
    session = requests.Session()
    session.trust_env = False
    for scheme in ("http://", "https://"):
        session.mount(scheme, PublicAdapter([ip_network("127.0.0.2/32")], None, 1))
    return session


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Listens on every address of loopback."""
    with socket.create_server(("", 0)) as one:
        one.settimeout(0.0)
        yield one


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_nothing_is_connected_to_if_one_of_its_addresses_is_refused(
    scheme: str, session: requests.Session, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    Names(monkeypatch, ["127.0.0.1", "127.0.0.2"])
    with pytest.raises(RefusedAddressError, match=r"rebind\.example \(127\.0\.0\.2\)"):
        session.get(f"{scheme}://rebind.example:{listener.getsockname()[1]}/", timeout=5)
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_a_name_is_resolved_once(
    session: requests.Session, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    Names(monkeypatch, ["127.0.0.1"], ["127.0.0.2"])
    listener.settimeout(10)
    with pytest.raises(requests.RequestException):
        session.get(f"http://rebind.example:{listener.getsockname()[1]}/", timeout=0.5)
    connection, _ = listener.accept()
    with connection:
        assert connection.getsockname()[0] == "127.0.0.1"
    # Another request is another connection, and looks again.
    with pytest.raises(RefusedAddressError):
        session.get(f"http://rebind.example:{listener.getsockname()[1]}/", timeout=5)


def test_what_has_no_address_and_what_does_not_answer_are_errors_of_requests(
    session: requests.Session, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = listener.getsockname()[1]
    listener.close()
    Names(monkeypatch, ["127.0.0.1"], [])
    for _ in range(2):
        with pytest.raises(requests.ConnectionError):
            session.get(f"http://gone.example:{port}/", timeout=5)


def test_a_proxy_may_be_anywhere_but_is_not_asked_for_what_is_refused(
    session: requests.Session, listener: socket.socket
) -> None:
    proxies = {"http": f"http://127.0.0.2:{listener.getsockname()[1]}"}
    for host in ("127.0.0.2", "127.2", "[::ffff:127.0.0.2]"):
        with pytest.raises(RefusedAddressError):
            session.get(f"http://{host}/", proxies=proxies, timeout=5)
    with pytest.raises(BlockingIOError):
        listener.accept()
    with pytest.raises(requests.ReadTimeout):
        session.get("http://files.example/", proxies=proxies, timeout=0.2)
    connection, _ = listener.accept()
    with connection:
        assert connection.recv(100).startswith(b"GET http://files.example/ HTTP/1.1")
