"""The authorities behind registries with TLS of our own, where the programs of this host look.

dockerd reads a file for each registry at each pull and push. The buildx of each user, which puts
the index together where several nodes have pushed, knows the host's own list alone (its
`util/imagetools/inspect.go`); like all programs in Go it reads every file of that folder.
"""

from __future__ import annotations

from pathlib import Path

from airgap.isolated import containers
from airgap.isolated.state import write_file
from airgap.isolated.step import Finding, Step, Work

_DOCKER = Path("/etc/docker/certs.d")
_SYSTEM = Path("/etc/ssl/certs")


class AuthoritiesStep(Step):
    """Docker and buildx trust them, for the address that each can vouch for."""

    name = "authorities"
    needs_root = True
    needs_docker = False

    def check(self, work: Work) -> Finding:
        """Compares the files with what they should be."""
        wanted = _wanted(work)
        for path, data in wanted.items():
            if not path.exists() or path.read_bytes() != data:
                return Finding(False, f"{path} is not as it should be")
        for path in _ours(work):
            if path not in wanted and path.exists():
                return Finding(False, f"{path} is still there")
        servers = ", ".join(server.address for server in containers.trusted_servers(work))
        return Finding(True, f"Docker and buildx trust {servers or 'none of our own'}")

    def apply(self, work: Work) -> None:
        """Writes them, and removes those of earlier registries."""
        wanted = _wanted(work)
        for path in _ours(work):
            if path not in wanted:
                path.unlink(missing_ok=True)
        work.changes.remove_folders(self.name)
        for path, data in wanted.items():
            work.changes.make_folder(self.name, path.parent)
            work.changes.add(self.name, str(path))
            write_file(path, data)

    def undo(self, work: Work) -> None:
        """Removes them all."""
        for path in _ours(work):
            path.unlink(missing_ok=True)
        work.changes.remove_folders(self.name)


def _wanted(work: Work) -> dict[Path, bytes]:
    """Path to content; files that somebody else has put there are left alone."""
    found, ours = {}, _ours(work)
    for server in containers.trusted_servers(work):
        data = Path(server.ca).read_bytes()
        host = server.address.rpartition(":")[0].strip("[]")
        for path in (_DOCKER / server.address / "ca.crt", _SYSTEM / f"airgap-{host}.pem"):
            if path in ours or not path.exists():
                found[path] = data
    return found


def _ours(work: Work) -> list[Path]:
    named = work.changes.of(AuthoritiesStep.name)
    return [Path(what) for what in named if not what.endswith("/")]
