"""Which addresses are asked for what came from elsewhere: no host's own, no network's own.

Whoever wrote a request file must not reach what only this workstation can reach. So a name is
resolved once, what it means is checked, and that very address is connected to; of a redirect too.
Where a proxy is used, what names mean is the proxy's to know and to refuse: names that stand for
no address but their own are refused here all the same.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

import requests
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.connection import allowed_gai_family, create_connection

from airgap.errors import UsageError
from airgap.oci.bounded_head import BoundedAdapter, BoundedConnection, BoundedHTTPSConnection

Address = IPv4Address | IPv6Address
Networks = Sequence[IPv4Network | IPv6Network]

REFUSED: Networks = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8",  # this host (RFC 1122)
            "10.0.0.0/8",  # private (RFC 1918)
            "100.64.0.0/10",  # behind a carrier's NAT (RFC 6598)
            "127.0.0.0/8",  # loopback
            "169.254.0.0/16",  # link-local; where clouds tell machines their credentials
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # for protocols (RFC 6890)
            "192.168.0.0/16",  # private
            "198.18.0.0/15",  # for measurements inside a network (RFC 2544)
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and broadcast
            "::/96",  # unspecified, loopback, and a form of IPv4 that nobody uses
            "64:ff9b:1::/48",  # NAT64 into one's own network (RFC 8215)
            "2001::/32",  # Teredo: IPv4 inside, behind someone's NAT
            "2002::/16",  # 6to4: IPv4 inside, given up (RFC 7526)
            "fc00::/7",  # unique local (RFC 4193)
            "fe80::/10",  # link-local
            "fec0::/10",  # site-local, given up
            "ff00::/8",  # multicast
        ),
    )
)
"""Addresses that mean something else on each network, or no host at all.

Those for documentation (192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24, 2001:db8::/32) are not
among them: nobody's own hosts have them, and they lead nowhere but where a network, such as a
lab's, has a stand-in for public servers there.
"""

_NAT64 = IPv6Network("64:ff9b::/96")
_LOCAL_NAME = "localhost"


class RefusedAddressError(UsageError):
    """Something leads to an address that is not asked."""


class PublicAdapter(BoundedAdapter):
    """Connects to no address of `refused`, whatever a name means by then.

    Args:
        refused: Networks that are not connected to.
        context: As for `BoundedAdapter`.
        connections: How many are kept open, of each kind.
    """

    def __init__(self, refused: Networks, context: ssl.SSLContext | None, connections: int) -> None:
        self._refused = refused
        super().__init__(context, connections)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as there
        """Have connections without a proxy look where they go."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _pools(self._refused)

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Refuse, proxy or not, what is no name of a public host.

        Raises:
            RefusedAddressError: The URL has such an address.
        """
        check_host(urlsplit(str(request.url)).hostname or "", self._refused)
        return super().send(request, *args, **kwargs)


def check_host(host: str, refused: Networks = REFUSED) -> None:
    """Look at a host as it is written; a name is not resolved.

    Args:
        host: A name or an address, of any form that the C library takes (`127.1`, `0x7f000001`).
        refused: Networks whose addresses are refused.

    Raises:
        RefusedAddressError: It is an address of those, or the name of this host.
    """
    host = host.strip("[]").rstrip(".").lower()
    if host == _LOCAL_NAME or host.endswith(f".{_LOCAL_NAME}"):  # RFC 6761, 6.3
        host = "127.0.0.1"
    try:
        _resolve(host, 0, refused, socket.AF_UNSPEC, socket.AI_NUMERICHOST)
    except socket.gaierror:
        return  # a name


def is_refused(address: Address, refused: Networks) -> bool:
    """Return whether an address, or the IPv4 address inside it, is in one of the networks."""
    if isinstance(address, IPv6Address):
        inside = address.ipv4_mapped
        if address in _NAT64:
            inside = IPv4Address(address.packed[-4:])
        if inside is not None:
            address = inside
    return any(address in network for network in refused)


def _resolve(
    host: str, port: int, refused: Networks, family: socket.AddressFamily, flags: int = 0
) -> list[str]:
    """Return the addresses of a host, none of which is refused.

    Raises:
        RefusedAddressError: One is.
        gaierror: There are none.
    """
    try:
        found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, 0, flags)
    except UnicodeError as error:  # a part of it is empty, or too long
        raise socket.gaierror(socket.EAI_NONAME, "it is no name") from error
    texts = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for text in texts:
        if is_refused(ip_address(text), refused):
            what = host if host == text else f"{host} ({text})"
            raise RefusedAddressError(
                f"{what} is no public address",
                meaning="Request files may name only what is public; this belongs to one network.",
                remedy="take what leads there out of the request file",
            )
    return texts


def _connect(connection: HTTPConnection, refused: Networks) -> socket.socket:
    """Connect to what was checked, in urllib3's way.

    Raises:
        RefusedAddressError: The host has a refused address.
        NameResolutionError: It has none.
        ConnectTimeoutError: Nobody answers there.
        NewConnectionError: There is no way there.
    """
    try:
        addresses = _resolve(connection.host, connection.port, refused, allowed_gai_family())
    except socket.gaierror as error:
        raise NameResolutionError(connection.host, connection, error) from error
    failure: OSError = OSError("it has no address")
    for address in addresses:
        try:
            return create_connection(
                (address, connection.port),
                connection.timeout,
                source_address=connection.source_address,
                socket_options=connection.socket_options,
            )
        except OSError as error:
            failure = error
    if isinstance(failure, TimeoutError):
        raise ConnectTimeoutError(connection, f"{connection.host} did not answer") from failure
    raise NewConnectionError(connection, str(failure)) from failure


def _pools(refused: Networks) -> dict[str, type[HTTPConnectionPool]]:
    """Return urllib3's pools by scheme, with connections that check addresses."""

    class Plain(BoundedConnection):
        def _new_conn(self) -> socket.socket:
            return _connect(self, refused)

    class Secure(BoundedHTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _connect(self, refused)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}
