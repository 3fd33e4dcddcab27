"""`buildkitd.toml`, for our own builder and for those that people make themselves.

Source: BuildKit's `docs/buildkitd.toml.md` and `util/resolver/resolver.go`. A mirror's own section
has to say that it speaks HTTP, and every upstream host needs a section: there is no wildcard.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from airgap.oci.reference import DOCKER_HUB
from airgap.store.layout import mirror_host

HEADER = "# Written by airgap. Changes are overwritten by the next airgap install.\n"


def buildkitd_toml(
    hosts: Iterable[str],
    mirrors: Sequence[str],
    http_registries: Iterable[str] = (),
    *,
    proxied: bool = False,
) -> str:
    """The configuration that sends BuildKit to the mirror.

    Args:
        hosts: Upstream hosts that the mirror has images of.
        mirrors: `HOST:PORT` under which the mirror is reached, the first one first.
        http_registries: Further registries that speak plain HTTP.
        proxied: Whether all builds have BuildKit's proxy network.
    """
    sections: dict[str, list[str]] = {}
    for host in sorted({DOCKER_HUB, *hosts}):
        paths = ", ".join(f'"{mirror}/{mirror_host(host)}"' for mirror in mirrors)
        sections[host] = [f"mirrors = [{paths}]"]
    for registry in (*mirrors, *http_registries):
        sections.setdefault(registry, []).append("http = true")
    lines = [
        f'\n[registry."{host}"]\n' + "".join(f"  {setting}\n" for setting in settings)
        for host, settings in sections.items()
    ]
    network = "proxyNetwork = true\n" if proxied else ""
    return HEADER + network + "".join(lines)
