"""Real engines pull through a mirror by the files that `airgap mirrors` gives."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from airgap.builder.mirrors.docker import docker
from airgap.builder.mirrors.engines import ENGINES
from airgap.builder.mirrors.mirror import Mirror
from airgap.builder.registry_server import RegistryServer
from airgap.isolated.mirrors import write
from tests.integration.conftest import APP, OLD
from tests.integration.engine_root import EngineRoot
from tests.lab.publish import Image
from tests.lab.serving import serving
from tests.lab.upstream import Upstream

HUB = {"registry-1.docker.io", "index.docker.io"}
MISSING = "docker.io/library/missing:1"
VALIDATE = [
    "dockerd",
    "--validate",
    "--config-file",
    "/etc/docker/daemon.json",
    "--userland-proxy=false",
]
DEAD = RegistryServer("127.0.0.1:9", http=True)

_CONTAINERD = """
containerd >/dev/null 2>&1 &
until ctr version >/dev/null 2>&1; do sleep 0.1; done
exec ctr images pull %s--snapshotter native --hosts-dir /etc/containerd/certs.d "$0"
"""
_BUILDKIT = """
buildkitd --oci-worker-snapshotter native >/dev/null 2>&1 &
until buildctl debug info >/dev/null 2>&1; do sleep 0.1; done
mkdir /tmp/context
echo "FROM $0" >/tmp/context/Dockerfile
exec buildctl build --progress plain --frontend dockerfile.v0 --local context=/tmp/context \\
    --local dockerfile=/tmp/context --output type=local,dest=/tmp/out
"""
_PODMAN = """
podman --storage-driver vfs pull "$0"
exec podman --storage-driver vfs image inspect "$0"
"""
_SKOPEO = """
skopeo copy --digestfile /tmp/digest "docker://$0" dir:/tmp/image
cat /tmp/digest
"""


@dataclass(frozen=True, slots=True)
class Puller:
    """A way to pull.

    Attributes:
        engine: Whose configuration it reads.
        commands: Pull the image $0, and tell of its digest.
        silent: It can be told never to ask the upstream.
    """

    engine: str
    commands: str
    silent: bool = True


PULLERS = {
    "buildkit": Puller("buildkit", _BUILDKIT, silent=False),
    "containerd 2": Puller("containerd", _CONTAINERD % "--local "),
    "containerd 1": Puller("containerd", f"PATH=/usr/bin\n{_CONTAINERD % ''}"),
    "podman": Puller("podman", _PODMAN),
    "skopeo": Puller("podman", _SKOPEO),
    # Of k3s and RKE2 only the setting for containerd forbids it, and this is not that part.
    "k3s": Puller("k3s", 'exec wharfie /etc/rancher/k3s/registries.yaml "$0"', silent=False),
    "rke2": Puller("rke2", 'exec wharfie /etc/rancher/rke2/registries.yaml "$0"', silent=False),
}


class Proxy(ThreadingHTTPServer):
    """The way out: it is closed, and notes where somebody wanted to go."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Refusing)
        self.asked: list[str] = []
        self.address = f"127.0.0.1:{self.server_address[1]}"


class _Refusing(BaseHTTPRequestHandler):
    server: Proxy

    def do_CONNECT(self) -> None:
        self.server.asked.append(self.path)
        self.send_error(403)

    def log_message(self, format: str, *args: object) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Served:
    """A mirror that is served, and the digests of what tags in it name."""

    mirror: Mirror
    digests: dict[str, str]


@pytest.fixture(scope="module")
def plain(layer: Callable[..., Path]) -> Iterator[Served]:
    """Over HTTP, at the root of its registry."""
    with Upstream(writable=True) as registry:
        server = RegistryServer(registry.address, http=True)
        yield Served(Mirror([server], ["ghcr.io"]), _publish(registry, "", layer("plain")))


@pytest.fixture(scope="module")
def prefixed(layer: Callable[..., Path]) -> Iterator[Served]:
    """With TLS and an authority of its own, below a path of somebody's registry."""
    with Upstream(tls=True, writable=True) as registry:
        ca = registry.ca_file
        assert ca is not None
        server = RegistryServer(registry.address, ca=str(ca), prefix="team/mirror")
        mirror = Mirror([server], ["ghcr.io"], (), {str(ca): ca.read_text()})
        yield Served(mirror, _publish(registry, "team/mirror/", layer("prefixed")))


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    server = Proxy()
    with serving(server):
        yield server


@pytest.fixture
def engines(proxy: Proxy) -> Iterator[EngineRoot]:
    with EngineRoot(proxy.address) as root:
        yield root


def _publish(registry: Upstream, prefix: str, layer: Path) -> dict[str, str]:
    image = Image("linux/amd64", [layer], {"Cmd": ["/data"]})
    publisher = registry.publisher()
    return {name: publisher.publish_single(f"{prefix}{name}", ["1"], image) for name in (APP, OLD)}


def _pull(
    engines: EngineRoot, puller: Puller, mirror: Mirror, image: str
) -> subprocess.CompletedProcess[str]:
    write(ENGINES[puller.engine](mirror).files, engines.files)
    return engines.run(["sh", "-euc", puller.commands, image])


@pytest.mark.parametrize("kind", ["plain", "prefixed"])
@pytest.mark.parametrize("name", PULLERS)
def test_images_of_all_hosts_are_pulled(
    name: str, kind: str, engines: EngineRoot, request: pytest.FixtureRequest
) -> None:
    served: Served = request.getfixturevalue(kind)
    for image, digest in served.digests.items():
        done = _pull(engines, PULLERS[name], served.mirror, f"{image}:1")
        assert done.returncode == 0, done.stdout + done.stderr
        assert digest in done.stdout + done.stderr


@pytest.mark.parametrize("name", PULLERS)
def test_the_second_address_is_asked_where_the_first_is_dead(
    name: str, engines: EngineRoot, plain: Served
) -> None:
    mirror = Mirror([DEAD, *plain.mirror.servers], plain.mirror.hosts)
    done = _pull(engines, PULLERS[name], mirror, f"{OLD}:1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert plain.digests[OLD] in done.stdout + done.stderr


@pytest.mark.parametrize("name", PULLERS)
def test_the_upstream_is_asked_only_by_those_that_cannot_be_told(
    name: str, engines: EngineRoot, plain: Served, proxy: Proxy
) -> None:
    proxy.asked.clear()
    done = _pull(engines, PULLERS[name], plain.mirror, MISSING)
    assert done.returncode != 0, done.stdout + done.stderr
    asked = {place.partition(":")[0] for place in proxy.asked}
    assert not asked if PULLERS[name].silent else asked & HUB


@pytest.mark.parametrize("kind", ["plain", "prefixed"])
def test_dockerd_takes_its_file(
    kind: str, engines: EngineRoot, request: pytest.FixtureRequest
) -> None:
    served: Served = request.getfixturevalue(kind)
    write({"/etc/docker/daemon.json": "{}\n", **docker(served.mirror).files}, engines.files)
    done = engines.run(VALIDATE)
    assert done.returncode == 0, done.stderr
    assert "configuration OK" in done.stdout + done.stderr


def test_dockerd_would_refuse_another_file(engines: EngineRoot) -> None:
    write({"/etc/docker/daemon.json": '{"registry-mirrors": ["no scheme"]}'}, engines.files)
    done = engines.run(VALIDATE)
    assert done.returncode != 0
