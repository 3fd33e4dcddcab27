"""Real engines pull through a mirror by the files that `airgap mirrors` gives."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from airgap.builder.mirrors.containerd import config_path
from airgap.builder.mirrors.docker import docker
from airgap.builder.mirrors.engines import ENGINES
from airgap.builder.mirrors.mirror import Mirror
from airgap.builder.registry_server import RegistryServer
from airgap.isolated.commands.engine_config import write
from lab.http_server import serving
from lab.publish import Image
from lab.upstream import Upstream
from tests.integration.conftest import APP, OLD, LayerMaker
from tests.integration.engine_root import EngineRoot

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
until ctr version >/dev/null 2>&1; do kill -0 $!; sleep 0.1; done
exec ctr images pull %s --snapshotter native --hosts-dir /etc/containerd/certs.d "$0"
"""
_KUBELET = """
cat >/etc/containerd/config.toml <<END
version = {version}
{config_path}
END
containerd >/dev/null 2>&1 &
until ctr version >/dev/null 2>&1; do kill -0 $!; sleep 0.1; done
exec cripull "$0"
"""
_BUILDKIT = """
buildkitd --oci-worker-snapshotter native >/dev/null 2>&1 &
until buildctl debug info >/dev/null 2>&1; do kill -0 $!; sleep 0.1; done
mkdir /tmp/context
echo "FROM $0" >/tmp/context/Dockerfile
exec buildctl build --progress plain --frontend dockerfile.v0 --local context=/tmp/context \\
    --local dockerfile=/tmp/context --output type=local,dest=/tmp/out
"""
_DOCKER = """
dockerd --bridge none --iptables=false --ip6tables=false --userland-proxy=false {options} \\
    >/dev/null 2>&1 &
until docker version >/dev/null 2>&1; do kill -0 $!; sleep 0.1; done
docker pull "$0"
exec docker image inspect "$0"
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
        logs_in: It gives a mirror the account of `docker login`.
    """

    engine: str
    commands: str
    silent: bool = True
    logs_in: bool = False


PULLERS = {
    "buildkit": Puller("buildkit", _BUILDKIT, silent=False, logs_in=True),
    "containerd 2": Puller("containerd", _CONTAINERD % "--local --skip-metadata"),
    "containerd 1": Puller("containerd", f"PATH=/usr/bin\n{_CONTAINERD % ''}"),
    "kubelet and containerd 2": Puller(
        "containerd", _KUBELET.format(version=3, config_path=config_path(3))
    ),
    "kubelet and containerd 1": Puller(
        "containerd",
        f"PATH=/usr/bin:$PATH{_KUBELET.format(version=2, config_path=config_path(2))}",
    ),
    "docker": Puller("docker", _DOCKER.format(options="")),
    "podman": Puller("podman", _PODMAN, logs_in=True),
    "skopeo": Puller("podman", _SKOPEO, logs_in=True),
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
    """A mirror that is served, and the digests by which its images are known."""

    mirror: Mirror
    digests: dict[str, set[str]]


@pytest.fixture(scope="module")
def plain(layer: LayerMaker) -> Iterator[Served]:
    """Over HTTP, at the root of its registry."""
    with Upstream(writable=True) as registry:
        server = RegistryServer(registry.address, http=True)
        digests = {name: _publish(registry, name, layer("plain")) for name in (APP, OLD)}
        # Docker's own setting takes no path: a mirror has images of Docker Hub a second time.
        _publish(registry, APP.removeprefix("docker.io/"), layer("plain"))
        yield Served(Mirror([server], ["ghcr.io"]), digests)


@pytest.fixture(scope="module")
def prefixed(layer: LayerMaker) -> Iterator[Served]:
    """With TLS and a CA of its own, below a path of the site's registry."""
    with Upstream(tls=True, writable=True) as registry:
        ca = registry.ca_file
        assert ca is not None
        server = RegistryServer(registry.address, ca=str(ca), prefix="team/mirror")
        mirror = Mirror([server], ["ghcr.io"], (), {str(ca): ca.read_text()})
        repositories = {name: f"{server.prefix}/{name}" for name in (APP, OLD)}
        digests = {
            name: _publish(registry, repository, layer("prefixed"))
            for name, repository in repositories.items()
        }
        yield Served(mirror, digests)


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    server = Proxy()
    with serving(server):
        yield server


@pytest.fixture
def engines(proxy: Proxy) -> Iterator[EngineRoot]:
    with EngineRoot(proxy.address) as root:
        yield root


def _publish(registry: Upstream, repository: str, layer: Path) -> set[str]:
    """An image of two platforms, of which one is left out, as bundles leave out some."""
    publisher = registry.publisher()
    images = [Image(platform, [layer]) for platform in ("linux/amd64", "linux/arm64")]
    index = publisher.publish(repository, ["1"], images)
    amd64, arm64 = (str(publisher.push_image(repository, one)["digest"]) for one in images)
    with registry.session() as session:
        url = f"{registry.url}/v2/{repository}/manifests/{arm64}"
        session.delete(url, timeout=10).raise_for_status()
    return {index, amd64}


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
    for image, digests in served.digests.items():
        done = _pull(engines, PULLERS[name], served.mirror, f"{image}:1")
        assert done.returncode == 0, done.stdout + done.stderr
        assert any(digest in done.stdout + done.stderr for digest in digests)


@pytest.fixture(scope="module", params=["team/mirror", ""], ids=["path", "root"])
def flat(request: pytest.FixtureRequest, layer: LayerMaker) -> Iterator[Served]:
    """Without the names of upstream hosts, as GitLab takes it."""
    with Upstream(writable=True) as registry:
        server = RegistryServer(registry.address, http=True, prefix=request.param, flat=True)
        digests = {}
        for name in (APP, OLD):
            repository = f"{server.prefix}/{name.partition('/')[2]}".lstrip("/")
            digests[name] = _publish(registry, repository, layer("flat"))
        yield Served(Mirror([server], ["ghcr.io"]), digests)


@pytest.mark.parametrize("name", ["buildkit", "containerd 2", "docker", "podman", "k3s"])
def test_images_are_pulled_by_their_usual_names_from_a_flat_mirror(
    name: str, engines: EngineRoot, flat: Served
) -> None:
    for image, digests in flat.digests.items():
        done = _pull(engines, PULLERS[name], flat.mirror, f"{image}:1")
        assert done.returncode == 0, done.stdout + done.stderr
        assert any(digest in done.stdout + done.stderr for digest in digests)


@pytest.mark.parametrize("name", PULLERS)
def test_the_second_address_is_asked_where_the_first_is_dead(
    name: str, engines: EngineRoot, plain: Served
) -> None:
    mirror = Mirror([DEAD, *plain.mirror.servers], plain.mirror.hosts)
    done = _pull(engines, PULLERS[name], mirror, f"{OLD}:1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert any(digest in done.stdout + done.stderr for digest in plain.digests[OLD])


@pytest.mark.parametrize("name", PULLERS)
def test_the_upstream_is_asked_only_by_those_that_cannot_be_told(
    name: str, engines: EngineRoot, plain: Served, proxy: Proxy
) -> None:
    proxy.asked.clear()
    done = _pull(engines, PULLERS[name], plain.mirror, MISSING)
    assert done.returncode != 0, done.stdout + done.stderr
    asked = {place.partition(":")[0] for place in proxy.asked}
    assert not asked if PULLERS[name].silent else asked & HUB


@pytest.mark.parametrize("name", PULLERS)
def test_a_mirror_with_accounts_is_read_by_those_that_give_it_theirs(
    name: str, engines: EngineRoot, layer: LayerMaker
) -> None:
    with Upstream(writable=True, htpasswd=("alice", "secret")) as registry:
        digests = _publish(registry, OLD, layer("accounts"))
        mirror = Mirror([RegistryServer(registry.address, http=True)], ["ghcr.io"])
        account = base64.b64encode(b"alice:secret").decode()
        login = json.dumps({"auths": {registry.address: {"auth": account}}})
        write({"/root/.docker/config.json": login}, engines.files)
        done = _pull(engines, PULLERS[name], mirror, f"{OLD}:1")
    found = any(digest in done.stdout + done.stderr for digest in digests)
    assert (found and done.returncode == 0) is PULLERS[name].logs_in


def test_docker_with_the_classic_image_store_finds_images_of_docker_hub_alone(
    engines: EngineRoot, plain: Served
) -> None:
    options = "--feature containerd-snapshotter=false --storage-driver vfs"
    classic = Puller("docker", _DOCKER.format(options=options))
    done = _pull(engines, classic, plain.mirror, f"{APP}:1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert any(digest in done.stdout for digest in plain.digests[APP])
    assert _pull(engines, classic, plain.mirror, f"{OLD}:1").returncode != 0


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
