"""Docker on this host, through docker-py. It is never asked to pull anything."""

from __future__ import annotations

import hashlib
import io
import logging
import secrets
import shlex
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airgap.builder.endpoint import Endpoint, docker_endpoint
from airgap.canonical import canonical
from airgap.errors import HostError
from airgap.limits import KIB
from airgap.oci.platform import Platform
from airgap.oci.response_log import log_response

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

SPEC_LABEL = "airgap.spec"
"""On every container of ours: the digest of the `ContainerSpec` that it was made from."""

ROOT_LABEL = "airgap.root"
"""On every container of ours: the folder of the state that it belongs to."""

SECRET_LABEL = "airgap.secret"  # noqa: S105 - its name
"""On every container that runs for long: what only those know who may use Docker."""

_LOG = logging.getLogger(__name__)
_READER = "airgap-reader"

_SECONDS = 600
_STOP_SECONDS = 10
# What a tar has beside the one file in it, at most.
_TAR_BYTES = 64 * KIB


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """A container that this host is to run.

    Attributes:
        name: Of the container.
        image: Id of its image, so that a new image means a new container.
        command: Its arguments; empty for the image's own.
        entrypoint: Instead of the image's, if given.
        environment: Variables.
        binds: Path on the host, or volume, to `PATH:MODE` in the container.
        ports: Port in the container to the addresses of the host where it is published.
        privileged: All capabilities and devices; without it, no capability at all.
        host_network: The host's network instead of its own.
        network: A network of its own name, instead of the default one.
        read_only: Its root file system cannot be written to.
        config_digest: Of the file that it reads at start, so that a change means a new container.
        temporary: It does not start again with Docker.
    """

    name: str
    image: str
    command: Sequence[str] = ()
    entrypoint: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    binds: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[int, list[tuple[str, int]]] = field(default_factory=dict)
    privileged: bool = False
    host_network: bool = False
    network: str = ""
    read_only: bool = False
    config_digest: str = ""
    temporary: bool = False

    @property
    def digest(self) -> str:
        """Identifies all of the above."""
        return hashlib.sha256(canonical(asdict(self))).hexdigest()


class Engine:
    """The Docker Engine that this process would talk to.

    Args:
        root: The folder of the state that its containers belong to.
    """

    def __init__(self, root: Path) -> None:
        self._root = str(root)

    @cached_property
    def endpoint(self) -> Endpoint:
        """Where it is.

        Raises:
            HostError: The selected context is broken.
        """
        return docker_endpoint()

    @cached_property
    def _client(self) -> DockerClient:
        """The connection; nothing is ever sent to the Docker of another host."""
        import docker

        client = docker.DockerClient(base_url=f"unix://{self.endpoint.socket}", timeout=_SECONDS)
        client.api.hooks["response"] = [log_response]
        return client

    def check(self) -> None:
        """Make sure that it answers, and is this host's own.

        Raises:
            HostError: It does not, or is not.
        """
        with self._errors("Docker does not answer"):
            self._client.ping()
        info = self._info()
        # A socket may lead to another machine (ssh -L), or to a virtual one (Docker Desktop).
        if "MemTotal" in info and int(info["MemTotal"]) != _memory():
            raise self.endpoint.of_another_host()

    def id(self) -> str:
        """Return what tells the running daemon from all others."""
        return str(self._info().get("ID", ""))

    def is_rootless(self) -> bool:
        """Return whether a user other than root runs the daemon."""
        return "name=rootless" in (self._info().get("SecurityOptions") or ())

    def image_folder(self) -> str:
        """Return the folder of Docker's images: containerd's, or that of the classic store."""
        info = self._info()
        drivers = [value for _, value in info.get("DriverStatus") or ()]
        if "io.containerd.snapshotter.v1" in drivers:
            return "/var/lib/containerd"
        return str(info.get("DockerRootDir", "/var/lib/docker"))

    def version(self) -> str:
        """The version of the running daemon, and how it keeps images: `29.1.0, overlayfs`."""
        info = self._info()
        return f"{info.get('ServerVersion', '?')}, {info.get('Driver', '?')}"

    def registry_mirrors(self) -> list[str]:
        """Return the mirrors of Docker Hub that the running daemon uses."""
        config = self._info().get("RegistryConfig") or {}
        return [str(mirror).rstrip("/") for mirror in config.get("Mirrors") or ()]

    def _info(self) -> dict[str, Any]:
        with self._errors("Docker does not answer"):
            return dict(self._client.info())

    def bridge_gateway(self) -> str:
        """Return the host's address on the default bridge; empty if there is none.

        Docker does not state one before the bridge is first used (moby issue 26799).
        """
        from docker.errors import NotFound

        with self._errors("Docker's networks cannot be read"):
            try:
                network = self._client.networks.get("bridge")
            except NotFound:
                return ""
            configs = (network.attrs.get("IPAM") or {}).get("Config") or []
        gateways = [
            config["Gateway"] for config in configs if ":" not in config.get("Gateway", ":")
        ]
        return str(gateways[0]) if gateways else ""

    def image_id(self, name: str) -> str:
        """Return the id of an image, by name or id; empty if it is not there."""
        from docker.errors import ImageNotFound

        with self._errors(f"the image {name} cannot be read"):
            try:
                return str(self._client.images.get(name).id)
            except ImageNotFound:
                return ""

    def image_platform(self, name: str) -> Platform | None:
        """Return the platform of an image; of several in containerd's store, that of this host."""
        from docker.errors import ImageNotFound

        with self._errors(f"the image {name} cannot be read"):
            try:
                facts = self._client.images.get(name).attrs
            except ImageNotFound:
                return None
        return Platform.of(facts["Os"], facts["Architecture"], facts.get("Variant") or "")

    def load(self, name: str, chunks: Iterable[bytes]) -> None:
        """Load an image, as `docker load` does.

        Raises:
            HostError: Docker refuses it.
        """
        with self._errors(f"the image {name} cannot be loaded"):
            lines = self._client.api.load_image(chunks)  # type: ignore[no-untyped-call]
            for line in lines:
                if "error" in line:
                    raise HostError(f"Docker cannot load {name}: {line['error']}")

    def remove_image(self, name: str) -> None:
        """Remove an image's name, and the image with its last name; one in use stays."""
        from docker.errors import APIError, ImageNotFound

        with self._errors(f"the image {name} cannot be removed"):
            try:
                self._client.images.remove(name)
            except ImageNotFound:
                return
            except APIError as error:
                if not error.is_client_error():
                    raise

    def tag_image(self, name: str, other: str) -> None:
        """Give an image a further name, which another one may have had until then."""
        with self._errors(f"the image {name} cannot be named {other}"):
            self._client.images.get(name).tag(other)

    def is_nameless(self, id: str) -> bool:
        """Return whether there is an image of that id, and it has no name."""
        from docker.errors import ImageNotFound

        with self._errors(f"the image {id} cannot be read"):
            try:
                return not self._client.images.get(id).tags
            except ImageNotFound:
                return False

    def read_file(self, image: str, paths: Sequence[str], limit: int) -> bytes | None:
        """Return the bytes of the first of `paths` that an image has, without running it.

        Args:
            image: Its name or id.
            paths: Absolute, inside the image.
            limit: The most bytes that it may have.

        Raises:
            HostError: Docker fails, or what is there is no regular file of acceptable size.
        """
        from docker.errors import NotFound

        self.remove_container(_READER)  # of a run that was killed
        labels = {SPEC_LABEL: "", ROOT_LABEL: self._root}
        with self._errors(f"the image {image} cannot be read"):
            container = self._client.containers.create(
                image, command=["none"], name=_READER, labels=labels
            )
            try:
                for path in paths:
                    try:
                        stream, _ = container.get_archive(path)
                    except NotFound:
                        continue
                    return _only_file(b"".join(_limited(stream, path, limit)), path)
            finally:
                container.remove(force=True, v=True)
        return None

    def container_problem(self, spec: ContainerSpec) -> str:
        """Return what is wrong with a container that should run; empty if nothing is."""
        container = self._container(spec.name)
        if container is None:
            return "there is no such container"
        if container.labels.get(SPEC_LABEL) != spec.digest:
            return "it was made from another image or configuration"
        return "" if container.status == "running" else f"it is {container.status}"

    def run(self, spec: ContainerSpec) -> None:
        """Make and start a container, instead of an older one of ours.

        Raises:
            HostError: Docker refuses, or somebody else's container has the name.
        """
        self.remove_container(spec.name)
        with self._errors(f"the container {spec.name} cannot be started"):
            container = self._client.containers.create(
                spec.image,
                command=list(spec.command) or None,
                entrypoint=list(spec.entrypoint) or None,
                name=spec.name,
                environment=dict(spec.environment),
                volumes=[f"{source}:{target}" for source, target in spec.binds.items()],
                ports={
                    # docker-py takes lists of pairs too, which its stubs do not know.
                    f"{port}/tcp": addresses  # type: ignore[misc]
                    for port, addresses in spec.ports.items()
                },
                privileged=spec.privileged,
                # Registries read and write files of root's, and need no right beyond that.
                cap_drop=[] if spec.privileged else ["ALL"],
                network_mode="host" if spec.host_network else spec.network or None,
                read_only=spec.read_only,
                userns_mode="host",
                init=True,
                restart_policy=None if spec.temporary else {"Name": "always"},
                labels={
                    SPEC_LABEL: spec.digest,
                    ROOT_LABEL: self._root,
                    SECRET_LABEL: secrets.token_hex(16),
                },
            )
            try:
                container.start()
            except BaseException:
                container.remove(force=True, v=True)
                raise

    def run_once(self, name: str, image: str, command: Sequence[str]) -> str:
        """Run a privileged container to its end, and remove it with its volumes.

        Returns:
            What it printed, on both streams.

        Raises:
            HostError: Docker refuses, or the program fails.
        """
        self.remove_container(name)  # of a run that was killed
        with self._errors(f"the container {name} fails"):
            container = self._client.containers.create(
                image,
                command=list(command),
                name=name,
                privileged=True,
                userns_mode="host",
                labels={SPEC_LABEL: "", ROOT_LABEL: self._root},
            )
            try:
                container.start()
                status = container.wait()["StatusCode"]
                said = bytes(container.logs()).decode(errors="replace").strip()
            finally:
                container.remove(force=True, v=True)
        if status != 0:
            raise HostError(f"the container {name} fails: {said or f'exit status {status}'}")
        return said

    def make_closed_network(self, name: str) -> str:
        """Make a network without a way out.

        Returns:
            The host's address on it.

        Raises:
            HostError: Docker refuses.
        """
        self.remove_network(name)  # of a run that was killed
        with self._errors(f"the network {name} cannot be made"):
            network = self._client.networks.create(
                name, driver="bridge", internal=True, labels={ROOT_LABEL: self._root}
            )
            network.reload()
            configs = (network.attrs.get("IPAM") or {}).get("Config") or []
            return str(configs[0]["Gateway"])

    def remove_network(self, name: str) -> None:
        """Remove a network, if there is one; all its containers must be gone."""
        from docker.errors import NotFound

        with self._errors(f"the network {name} cannot be removed"):
            try:
                self._client.networks.get(name).remove()
            except NotFound:
                return

    def owner_of(self, name: str) -> str:
        """Return the state folder that a container belongs to; empty if it is not airgap's."""
        container = self._container(name)
        return "" if container is None else str(container.labels.get(ROOT_LABEL, ""))

    def is_ours(self, name: str) -> bool:
        """Return whether there is a container of that name and it belongs to this state."""
        return self.owner_of(name) == self._root

    def is_running(self, name: str) -> bool:
        """Return whether there is a container of that name, and it runs."""
        container = self._container(name)
        return container is not None and container.status == "running"

    def remove_container(self, name: str) -> None:
        """Stop and remove a container of ours, if there is one.

        Raises:
            HostError: Docker refuses, or the container is somebody else's.
        """
        container = self._container(name)
        if container is None:
            return
        owner = container.labels.get(ROOT_LABEL)
        if owner is None:
            raise HostError(
                f"there is a container {name} that airgap did not make",
                remedy=f"rename it: docker rename {name} OTHER",
            )
        if owner != self._root:
            raise HostError(
                f"the container {name} belongs to another installation, in {owner}",
                remedy=f"uninstall that one first: airgap --root {shlex.quote(owner)} uninstall",
            )
        with self._errors(f"the container {name} cannot be removed"):
            container.stop(timeout=_STOP_SECONDS)
            container.remove(force=True, v=True)

    def output(self, name: str, argv: Sequence[str]) -> str:
        """Return what a command prints in a running container.

        Raises:
            HostError: It fails, or the container does not run.
        """
        container = self._container(name)
        if container is None:
            raise HostError(f"there is no container {name}")
        with self._errors(f"{name} does not answer"):
            status, output = container.exec_run(list(argv), stream=False)
        text = bytes(output).decode(errors="replace").strip()  # type: ignore[arg-type]
        if status != 0:
            raise HostError(f"{argv[0]} fails in {name}: {text}")
        return text

    def logs(self, name: str) -> str:
        """Return the end of what a container printed."""
        container = self._container(name)
        if container is None:
            return ""
        with self._errors(f"the log of {name} cannot be read"):
            return bytes(container.logs(tail=10)).decode(errors="replace").strip()

    def remove_volume(self, name: str) -> None:
        """Remove a volume, if there is one."""
        from docker.errors import NotFound

        with self._errors(f"the volume {name} cannot be removed"):
            try:
                self._client.volumes.get(name).remove()
            except NotFound:
                return

    def publisher_of(self, address: str, port: int) -> str:
        """Return the name of the container that has a port at an address; empty if none does."""
        taken = {(item, str(port)) for item in (address, "0.0.0.0", "::")}  # noqa: S104 - compared
        with self._errors("Docker's containers cannot be read"):
            for container in self._client.containers.list(ignore_removed=True):
                for bindings in (container.ports or {}).values():
                    at = {(binding["HostIp"], binding["HostPort"]) for binding in bindings or ()}
                    if at & taken:
                        return str(container.name)
        return ""

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        """Every way in which docker-py fails, as an error for people that names the Docker."""
        from docker.errors import APIError, DockerException
        from requests import RequestException

        try:
            yield
        except APIError as error:
            raise HostError(f"{what}: {error.explanation or error}") from error
        except (DockerException, RequestException) as error:
            _LOG.debug("no response of Docker: %s", error)
            named, start = self.endpoint.named_by, "start Docker (systemctl start docker)"
            raise HostError(
                f"{what}: {_innermost(error)}" + (f" ({self.endpoint.shown})" if named else ""),
                meaning="Docker is not running, or this user may not use it.",
                remedy=f"start that Docker, or use this host's own: {self.endpoint.undo}"
                if named
                else f"{start}, or use sudo",
            ) from error

    def _container(self, name: str) -> Container | None:
        from docker.errors import NotFound

        with self._errors("Docker's containers cannot be read"):
            try:
                return self._client.containers.get(name)
            except NotFound:
                return None


def _limited(stream: Iterable[bytes], path: str, limit: int) -> Iterator[bytes]:
    left = limit + _TAR_BYTES
    for chunk in stream:
        left -= len(chunk)
        if left < 0:
            raise HostError(f"{path} in the image is larger than any should be")
        yield chunk


def _only_file(archive: bytes, path: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        member = tar.next()
        file = tar.extractfile(member) if member is not None and member.isfile() else None
        if file is None:
            raise HostError(f"{path} in the image is not a regular file")
        return file.read()


def _memory() -> int:
    """Return bytes of memory of this machine, where dockerd looks too."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * KIB
    return 0


def _innermost(error: BaseException) -> str:
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
