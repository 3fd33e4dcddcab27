"""The authorities behind registries with TLS, where the programs of this host look.

Those are the registries of an airgap, and someone's that holds the mirror.

dockerd reads a file for each registry at each pull and push. The buildx of each user, which puts
the index together where several nodes have pushed, knows the host's own list alone (its
`util/imagetools/inspect.go`); like all programs in Go it reads every file of that folder.
"""

from __future__ import annotations

import os
from pathlib import Path

from airgap.isolated.context import CheckResult, Context
from airgap.isolated.host.files import write_file
from airgap.isolated.services import containers
from airgap.isolated.services.site_registry import RegistryMirror
from airgap.isolated.steps.base import Step

_DOCKER = Path("/etc/docker/certs.d")
_SYSTEM = Path("/etc/ssl/certs")


class AuthoritiesStep(Step):
    """Docker trusts them, and buildx those that can sign one address alone."""

    name = "authorities"
    needs_root = True
    needs_docker = False

    def check(self, context: Context) -> CheckResult:
        """Compare the files with what they should be."""
        files = _files(context)
        for path, data in files.items():
            if not path.exists() or path.read_bytes() != data:
                return CheckResult(False, f"{path} is not as it should be")
        for path in _ours(context):
            if path not in files and path.exists():
                return CheckResult(False, f"{path} is still there")
        servers = ", ".join(server.address for server in containers.trusted_servers(context))
        return CheckResult(True, f"Docker and buildx trust {servers or 'none of our own'}")

    def places(self, context: Context) -> list[Path]:
        """Return the files, and those of earlier registries."""
        ours = _ours(context)
        return [path for path in (*_places(context), *ours) if path in ours or _is_free(path)]

    def apply(self, context: Context) -> None:
        """Write them, and remove those of earlier registries."""
        files = _files(context)
        for path in _ours(context):
            if path not in files:
                path.unlink(missing_ok=True)
        context.changes.remove_folders(self.name)
        for path, data in files.items():
            context.changes.make_folder(self.name, path.parent)
            context.changes.add(self.name, str(path))
            write_file(path, data)

    def undo(self, context: Context) -> None:
        """Remove every CA file that `apply` wrote."""
        for path in _ours(context):
            path.unlink(missing_ok=True)
        context.changes.remove_folders(self.name)


def _files(context: Context) -> dict[Path, bytes]:
    """Return path to content; files that somebody else has put there are left alone."""
    ours = _ours(context)
    return {
        path: authority.read_bytes()
        for path, authority in _places(context).items()
        if path in ours or _is_free(path)
    }


def _is_free(path: Path) -> bool:
    """Return whether nobody has anything there, not even a link that leads nowhere."""
    return not os.path.lexists(path)


def _places(context: Context) -> dict[Path, Path]:
    """Return path to the file that it is a copy of."""
    places = {}
    for server in containers.trusted_servers(context):
        host = server.address.rpartition(":")[0].strip("[]")
        for path in (_in_docker(server.address), _SYSTEM / f"airgap-{host}.pem"):
            places[path] = Path(server.ca)
    mirror = RegistryMirror.of(context.settings)
    if mirror is not None and mirror.ca is not None:
        places[_in_docker(mirror.server)] = mirror.ca
    return places


def _in_docker(address: str) -> Path:
    return _DOCKER / address / "ca.crt"


def _ours(context: Context) -> list[Path]:
    named = context.changes.of(AuthoritiesStep.name)
    return [Path(what) for what in named if not what.endswith("/")]
