"""What integration tests share: a real registry with small images, a key, the tool."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airgap.oci.platform import Platform
from airgap.progress import Progress
from airgap.tool import build_pyz
from lab.cleanup import sweep
from lab.layers import Layer
from lab.publish import DOCKER, Image, Publisher
from lab.upstream import Upstream
from tests.integration.command import airgap
from tests.integration.faults import FaultProxy

APP = "docker.io/library/app"
"""An OCI index: amd64, arm64 and arm/v7, each with an attestation."""
OLD = "ghcr.io/lab/old"
"""Docker's media types: an index of amd64 and arm64."""
SINGLE = "docker.io/lab/single"
"""An image without an index, for arm64."""

_HERE = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "NETRC")


@pytest.fixture(scope="session", autouse=True)
def surroundings(tool: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing of the user's configuration counts, and the tool is built once."""
    sweep()
    data = tool.read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build_pyz, "build_tool", lambda hosts, *, progress: data)
        patch.setenv("DOCKER_CONFIG", str(tmp_path_factory.mktemp("docker")))
        for name in _HERE:
            patch.delenv(name, raising=False)
            patch.delenv(name.lower(), raising=False)
        yield


@pytest.fixture(scope="session")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tool for the isolated host, really built."""
    path = tmp_path_factory.mktemp("tool") / "airgap.pyz"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of importlib.resources, in 3.11 only
        path.write_bytes(build_pyz.build_tool([Platform("linux", "amd64")], progress=Progress()))
    return path


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A private key without passphrase."""
    path = tmp_path_factory.mktemp("keys") / "site"
    assert airgap("keygen", path).code == 0
    return path.with_suffix(".key")


LayerMaker = Callable[..., Path]


@pytest.fixture(scope="session")
def layer(tmp_path_factory: pytest.TempPathFactory) -> LayerMaker:
    """Makes a layer of so many bytes that do not compress; the same for the same seed."""
    folder = tmp_path_factory.mktemp("layers")

    def make(seed: str, size: int = 20_000) -> Path:
        data = random.Random(seed).randbytes(size)
        return Layer().file("data", data).write(folder / f"{seed.replace('/', '-')}.tar.gz")

    return make


@pytest.fixture(scope="session")
def registry(layer: LayerMaker) -> Iterator[Upstream]:
    """A registry over HTTP that holds the images named above; tests may push others."""
    with Upstream(writable=True) as upstream:
        _publish(upstream.publisher(), layer)
        yield upstream


def _publish(publisher: Publisher, layer: LayerMaker) -> None:
    shared = layer("shared")
    three = [
        Image(platform, [shared, layer(platform)], {"Cmd": ["/data"]})
        for platform in ("linux/amd64", "linux/arm64", "linux/arm/v7")
    ]
    publisher.publish(APP, ["1", "latest"], three, attested=True)
    publisher.publish(OLD, ["1"], three[:2], media=DOCKER)
    publisher.publish_single(SINGLE, ["1"], three[1])


@pytest.fixture(scope="session")
def registries(registry: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file for `--registries` by which the registry stands for Docker Hub and ghcr.io."""
    path = tmp_path_factory.mktemp("registries") / "registries.toml"
    path.write_text(registry.registries())
    return path


@pytest.fixture
def proxy(registry: Upstream) -> Iterator[FaultProxy]:
    """A server in front of the registry, with no fault yet: name images `{proxy.address}/…`."""
    with FaultProxy(registry.address) as server:
        yield server
