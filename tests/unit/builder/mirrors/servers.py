"""Mirrors of every kind, and made-up ones by the hundred."""

from __future__ import annotations

from hypothesis import strategies as st

from airgap.builder.mirrors.mirror import Mirror
from airgap.builder.registry_server import RegistryServer

PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
LOOPBACK = RegistryServer("127.0.0.1:5001", http=True)
BRIDGE = RegistryServer("172.17.0.1:5001", http=True)
PUSHED = RegistryServer("127.0.0.1:5000", http=True)
SITE = RegistryServer("harbor.example.internal", ca='/srv/"our"\\ca.crt', prefix="team/mirror")
SITE_PUSHED = RegistryServer("harbor.example.internal:5000", ca=SITE.ca)

HERE = Mirror([LOOPBACK], ["ghcr.io"], [PUSHED])
BOTH = Mirror([BRIDGE, LOOPBACK], ["ghcr.io"])
FOREIGN = Mirror([SITE], ["ghcr.io"], [SITE_PUSHED], {SITE.ca: PEM})

_name = st.from_regex(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,20}[a-zA-Z0-9])?", fullmatch=True)
_dotted = st.lists(_name, min_size=1, max_size=4).map(".".join)
_ipv6 = st.ip_addresses(v=6).map(lambda address: f"[{address}]")
_port = st.integers(1, 65535).map(lambda port: f":{port}") | st.just("")
hosts = st.builds("{}{}".format, _dotted | _ipv6, _port)
"""What `parse_reference` takes for a host."""

_paths = st.from_regex(r"([a-z0-9]+(/[a-z0-9_-]*[a-z0-9]){0,2})?", fullmatch=True)
_files = st.text(st.characters(codec="utf-8", exclude_characters="\0")).map("/{}".format)
servers = st.builds(RegistryServer, hosts, st.just(True), st.just(""), _paths) | st.builds(
    RegistryServer, hosts, st.just(False), _files | st.just(""), _paths
)


@st.composite
def mirrors(draw: st.DrawFn) -> Mirror:
    """Any mirror that can be told of."""
    own = draw(st.lists(servers, min_size=1, max_size=3, unique_by=lambda one: one.address))
    pushed = draw(st.lists(servers, max_size=2, unique_by=lambda one: one.address))
    return Mirror(
        own,
        draw(st.lists(hosts, max_size=3)),
        pushed,
        {server.ca: PEM for server in (*own, *pushed) if server.ca},
    )
