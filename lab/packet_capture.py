"""What leaves a host, by packet capture: every packet on its only link to the outside."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address

from lab.host import IsolatedHost
from lab.resource import Resource

OUTSIDE, OUTSIDE_IPV6 = "192.0.2.1", "2001:db8:1::1"
"""Addresses for documentation (RFC 5737, RFC 3849), to which there is a route as to any other."""

_LINK = "eth0"
_GATEWAY, _GATEWAY_LINK = "2001:db8::1", "02:00:00:00:00:01"
_IPV6 = (
    # The kernel gives the link no address by itself, and asks for no router.
    ("sysctl", "-q", "-w", f"net.ipv6.conf.{_LINK}.addr_gen_mode=1"),
    ("sysctl", "-q", "-w", f"net.ipv6.conf.{_LINK}.accept_ra=0"),
    ("ip", "-6", "address", "flush", "dev", _LINK),
    ("ip", "-6", "address", "add", "2001:db8::2/64", "dev", _LINK, "nodad"),
    ("ip", "-6", "neighbour", "add", _GATEWAY, "lladdr", _GATEWAY_LINK, "dev", _LINK),
    ("ip", "-6", "route", "add", "default", "via", _GATEWAY),
)
_SETTLED = 2.5
"""Seconds of silence: the kernel tells of each new IPv6 address twice (RFC 3810, 9.11)."""

# From linux/sched.h, if_ether.h, if_packet.h and asm-generic/socket.h.
_CLONE_NEWNET = 0x40000000
_ALL_PROTOCOLS, _ETH_IPV4, _ETH_ARP, _ETH_IPV6 = 0x0003, 0x0800, 0x0806, 0x86DD
_OUTGOING = 4
_SOL_PACKET, _PACKET_STATISTICS, _SO_RCVBUFFORCE = 263, 6, 33
_COUNTS = struct.Struct("=II")  # packets, and those of them that there was no room for
_ROOM = 16 << 20
_LARGEST = 1 << 16

_PORTED = {socket.IPPROTO_TCP: "TCP", socket.IPPROTO_UDP: "UDP"}
_DNS = 53

_libc = ctypes.CDLL(None, use_errno=True)


class PacketCapture(Resource):
    """The link by which packets can leave a `blackhole` host.

    The host has a default route there for IPv4 and IPv6, and a name server. What tries to get
    out is told nothing, and is seen here.
    """

    def __init__(self, host: IsolatedHost) -> None:
        super().__init__()
        self._host = host

    def _begin(self) -> None:
        for command in _IPV6:
            self._host.run(command)
        self._capture = self._resources.enter_context(_capture(self._host))
        quiet_since = time.monotonic()
        while time.monotonic() < quiet_since + _SETTLED:
            time.sleep(0.1)
            if self.left():
                quiet_since = time.monotonic()

    def left(self) -> list[str]:
        """What has left since this was asked last: protocol, address and port, each once.

        Raises:
            AssertionError: There was no room for all of it.
        """
        counted = self._capture.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, _COUNTS.size)
        _, dropped = _COUNTS.unpack(counted)
        assert not dropped, f"{dropped} packets were not looked at"
        return list(dict.fromkeys(self._packets()))

    def _packets(self) -> Iterator[str]:
        while True:
            try:
                packet, (_, protocol, direction, *_) = self._capture.recvfrom(_LARGEST)
            except BlockingIOError:
                return
            if direction == _OUTGOING:
                yield described(protocol, packet)


def described(protocol: int, packet: bytes) -> str:
    """Protocol, address and port of a packet, and the name that a DNS query asks for.

    Args:
        protocol: Which one the link layer says.
        packet: Without the link layer's header.
    """
    if protocol == _ETH_ARP:
        return f"ARP {ip_address(packet[24:28])}"
    if protocol == _ETH_IPV4:
        header, kind, target = 4 * (packet[0] & 15), packet[9], packet[16:20]
    elif protocol == _ETH_IPV6:
        header, kind, target = 40, packet[6], packet[24:40]
    else:
        return f"protocol {protocol:#06x}"
    address, inner = ip_address(target), packet[header:]
    if kind not in _PORTED:
        return f"IP protocol {kind} {address}"
    port = int.from_bytes(inner[2:4])
    name = f" for {_name_asked(inner[8:])}" if port == _DNS and kind == socket.IPPROTO_UDP else ""
    return f"{_PORTED[kind]} {address} port {port}{name}"


def _name_asked(query: bytes) -> str:
    """The name that a DNS query asks for (RFC 1035, 4.1)."""
    labels, position = [], 12
    while position < len(query) and query[position]:
        end = position + 1 + query[position]
        labels.append(query[position + 1 : end].decode("ascii", "backslashreplace"))
        position = end
    return ".".join(labels)


def _capture(host: IsolatedHost) -> socket.socket:
    """A socket that has all packets of the host's link, from now on."""

    def make() -> socket.socket:
        with host.path("/proc/1/ns/net").open() as namespace:
            if _libc.setns(namespace.fileno(), _CLONE_NEWNET) != 0:
                error = ctypes.get_errno()
                raise OSError(error, os.strerror(error))
        made = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _ROOM)
        made.bind((_LINK, _ALL_PROTOCOLS))
        made.setblocking(False)
        return made

    # Only this thread goes into the host's network, and it ends there.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(make).result()
