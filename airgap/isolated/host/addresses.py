"""The address of this host at which other machines are served."""

from __future__ import annotations

import ipaddress
import re
import socket

from airgap.errors import HostError, UsageError

NOWHERE = "none"
"""What `--listen` takes to end it."""

_NAME = re.compile(r"(?=.{1,253}$)([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)(\.[A-Za-z0-9-]+)*")


def parse_listen(text: str) -> str:
    """Return the address that is kept of `--listen`: an IP address or a name; empty for `none`.

    Raises:
        UsageError: It is neither, or no address that other machines could use.
    """
    if text == NOWHERE:
        return ""
    try:
        address = ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        if not _NAME.fullmatch(text):
            raise UsageError(f"--listen wants an IP address or a name, not {text[:80]!r}") from None
        return text.lower()
    if address.is_unspecified or address.is_loopback:
        raise UsageError(
            f"--listen {text} is no address at which other machines reach this host",
            remedy="see those that it has: ip address",
        )
    return str(address)


def local_ip(address: str) -> str:
    """Return the IP address of this host that an address means.

    Raises:
        HostError: It means none, or that of another host.
    """
    try:
        found = socket.getaddrinfo(address, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise HostError(
            f"this host does not know the name {address}",
            remedy="put it into /etc/hosts, or use an IP address: --listen ADDRESS",
        ) from error
    for family, kind, protocol, _, where in found:
        with socket.socket(family, kind, protocol) as probe:
            try:
                probe.bind((where[0], 0))
            except OSError:
                continue
        return str(where[0])
    raise HostError(
        f"{address} is no address of this host", remedy="see those that it has: ip address"
    )
