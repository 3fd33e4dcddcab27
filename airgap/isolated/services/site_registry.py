"""The site's registry that holds the mirror instead of this host.

It is the one server beyond this host that is ever asked, and only because the operator named it.
Credentials are those of who runs `airgap`, as Docker keeps them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from airgap.builder.registry_server import RegistryServer
from airgap.bundle.contents import ImageEntry
from airgap.disk import read_user_file
from airgap.errors import IntegrityError, UsageError, translate_os_errors
from airgap.isolated.context import Context
from airgap.isolated.host.files import write_file
from airgap.isolated.services import docker_images
from airgap.isolated.state.layout import State
from airgap.isolated.state.settings import HostSettings
from airgap.limits import LIMITS
from airgap.oci.blob_reader import BlobReader
from airgap.oci.credentials import Credentials
from airgap.oci.manifest import blobs_of
from airgap.oci.push_client import PushClient
from airgap.oci.reference import Reference
from airgap.oci.registries import Registries, RegistryConfig, is_loopback, is_server
from airgap.oci.registry import RegistryClient
from airgap.oci.retry import retry
from airgap.oci.session import host_ca
from airgap.store.layout import mirror_host, mirror_name, mirror_repositories
from airgap.trust.certificates import all_certificates

# Seconds for which a look at the registry waits for an answer, and bears failures.
_LOOK_SECONDS = 10.0
# What Docker itself must have before anything can be had from a registry.
_DOCKERS_OWN = ("registry", "builder", "emulator", "buildx")
# Ends the name of a registry whose paths are without the names of upstream hosts.
_FLAT = "#flat"
STEP = "push"
"""The step whose changes are the registries that have held the mirror of this host."""


@dataclass(frozen=True, slots=True)
class RegistryMirror:
    """Where the images are.

    Attributes:
        server: `HOST[:PORT]`.
        prefix: Path below which it holds them; empty for none.
        ca: A PEM file with the CA that signed it; None for those of this host.
        flat: An image is at PREFIX/REPOSITORY, without the name of its upstream host: some
            registries take only so many names below a project.
    """

    server: str
    prefix: str
    ca: Path | None
    flat: bool = False

    @classmethod
    def of(cls, settings: HostSettings) -> RegistryMirror | None:
        """Return the one that the operator named, if one was."""
        if not settings.registry_mirror:
            return None
        ca = Path(settings.registry_mirror_ca) if settings.registry_mirror_ca else None
        return cls.called(settings.registry_mirror, ca)

    @classmethod
    def called(cls, name: str, ca: Path | None) -> RegistryMirror:
        """Return the registry of `HOST[:PORT][/PREFIX]`; a suffix `#flat` states its layout."""
        server, _, prefix = name.removesuffix(_FLAT).partition("/")
        return cls(server, prefix, ca, name.endswith(_FLAT))

    def __str__(self) -> str:
        """`HOST[:PORT][/PREFIX]`."""
        return f"{self.server}/{self.prefix}".rstrip("/")

    def as_engines_reach_it(self) -> RegistryServer:
        """Return the same, for the configuration of engines on this host."""
        server = RegistryServer(self.server, prefix=self.prefix, flat=self.flat)
        if self.ca is None and is_loopback(self.server):
            return replace(server, http=True)
        # An engine in a container has a list of its own, which lacks what this host was given.
        return replace(server, ca=str(self.ca or host_ca() or ""))

    def pusher(self, pause: Callable[[float], object], say: Callable[[str], object]) -> PushClient:
        """Return what pushes to it, with patience."""
        return PushClient(self.server, self.ca, Credentials(), pause=pause, say=say)

    @contextmanager
    def looking(self) -> Iterator[PushClient]:
        """Return a client for checks, with little patience."""
        client = PushClient(
            self.server, self.ca, Credentials(), timeout=_LOOK_SECONDS, retry_for=_LOOK_SECONDS
        )
        try:
            yield client
        finally:
            client.close()

    def repository(self, image: ImageEntry) -> str:
        """Return where it holds an image."""
        nested = mirror_repositories(image.reference)[0]
        path = image.reference.repository if self.flat else nested
        return f"{self.prefix}/{path}".lstrip("/")


def choose(
    settings: HostSettings,
    registry: str,
    layout: str = "",
    *,
    own_mirror: bool,
    rewrite: bool | None,
) -> HostSettings:
    """Return the settings with what the operator says of registries.

    Args:
        settings: What else is chosen, and was before.
        registry: `HOST[:PORT][/PREFIX]`; empty to leave it as it was.
        layout: `flat` or `nested`; empty to leave it as it was.
        own_mirror: The mirror is to be on this host.
        rewrite: Whether indexes are rewritten; None to leave that as it was.

    Raises:
        UsageError: It is not such a text, or the choices exclude each other.
    """
    if own_mirror and registry:
        raise UsageError("--registry and --own-mirror exclude each other")
    if registry and not is_server(registry):
        raise UsageError(
            f"{registry[:200]!r} is not a registry: write HOST[:PORT][/PREFIX]",
            remedy="for example: --registry harbor.example.internal/mirror",
        )
    before = settings.registry_mirror.removesuffix(_FLAT)
    if layout and (own_mirror or not (registry or before)):
        raise UsageError("--registry-layout is that of a registry", remedy="name it: --registry")
    if own_mirror or registry not in ("", before):
        # Neither the CA nor the choices were made for another one.
        settings = replace(
            settings, registry_mirror=registry, registry_mirror_ca="", rewrite_indexes=False
        )
    if layout:
        name = (registry or before) + (_FLAT if layout == "flat" else "")
        settings = replace(settings, registry_mirror=name)
    return settings if rewrite is None else replace(settings, rewrite_indexes=rewrite)


def read_ca(path: Path) -> bytes:
    """Return the certificates in a file, and nothing else of it.

    Raises:
        UsageError: It cannot be read, or holds none, or text that readers could read differently.
    """
    data = read_user_file(path, LIMITS.ca_bytes)
    try:
        return all_certificates(data)
    except IntegrityError as error:
        form = "" if b"-----BEGIN" in data else "-inform DER "
        raise UsageError(
            f"{path} holds no certificate in PEM form, or holds more than certificates",
            remedy=f"convert it: openssl x509 {form}-in FILE -out FILE.pem",
        ) from error


@contextmanager
def given_ca(state: State, settings: HostSettings, pem: bytes) -> Iterator[HostSettings]:
    """Copy a CA to where all engines of this host read it, and return the new settings.

    What fails then and there shows that it is not one for that registry: the one before comes back.

    Args:
        state: Where.
        settings: With the registry.
        pem: The CA; if empty, all stays as it is.

    Raises:
        UsageError: No registry is named whose certificate it could have signed.
    """
    if not pem:
        yield settings
        return
    if not settings.registry_mirror:
        raise UsageError("--ca is the CA behind a registry", remedy="name it: --registry")
    path = _ca_path(state, settings.registry_mirror)
    before = path.read_bytes() if path.exists() else b""
    write_file(path, pem)
    try:
        yield replace(settings, registry_mirror_ca=str(path))
    except BaseException:
        if before:
            write_file(path, before)
        else:
            path.unlink()
        raise


def known_mirrors(context: Context) -> list[RegistryMirror]:
    """Return those that may have images of this host: the one that was named, then earlier ones."""
    names = [context.settings.registry_mirror, *reversed(context.changes.of(STEP))]
    kept = {name: _ca_path(context.state, name) for name in names if name}
    return [
        RegistryMirror.called(name, path if path.exists() else None) for name, path in kept.items()
    ]


def _ca_path(state: State, name: str) -> Path:
    return state.config / f"{mirror_host(name.removesuffix(_FLAT).partition('/')[0])}.crt"


def kept_here(context: Context) -> list[ImageEntry]:
    """Return the images that this host holds itself: all, or those alone that Docker must have."""
    desired = context.desired
    if not context.settings.registry_mirror:
        return list(desired.images.values())
    roles = [desired.roles[role] for role in _DOCKERS_OWN if role in desired.roles]
    names = (*context.options.load, *docker_images.names(context))
    in_docker = [desired.image(name) for name in names if desired.has(name)]
    return list(dict.fromkeys(roles + in_docker))


def kept_as(image: ImageEntry) -> tuple[str, str]:
    """Return what tells an image from others in the mirror: its name there, and its digest."""
    return mirror_name(image.reference), image.digest


def check_reached(context: Context) -> None:
    """Check that the registry answers with these credentials, and keeps images apart.

    Raises:
        UsageError: Its layout gives repositories of two upstream hosts one path.
        CredentialsError: They are missing or wrong.
        UpstreamError: It is unreachable, or refuses.
    """
    mirror = RegistryMirror.of(context.settings)
    image = next(iter(context.desired.images.values()), None)
    if mirror is not None and image is not None:
        _check_paths(mirror, context.desired.images.values())
        with mirror.looking() as client:
            client.head_manifest(mirror.repository(image), image.digest)


def _check_paths(mirror: RegistryMirror, images: Iterable[ImageEntry]) -> None:
    """Refuse a flat layout in which a name could mean the image of another upstream host.

    Raises:
        UsageError: Two hosts have a repository of the same name.
    """
    first: dict[str, str] = {}
    for image in images if mirror.flat else ():
        path, nested = mirror.repository(image), mirror_repositories(image.reference)[0]
        if (other := first.setdefault(path, nested)) != nested:
            raise UsageError(
                f"{other} and {nested} would both be {path} in {mirror.server}",
                meaning="A flat layout leaves the names of upstream hosts out.",
                remedy="--registry-layout nested, if that registry takes such paths; or leave one "
                "of them out of the bundle",
            )


def fetch(context: Context, mirror: RegistryMirror, image: ImageEntry) -> None:
    """Copy an image from the registry into the local store, whose tag it gets last.

    Raises:
        NotFoundError: The registry does not have it, or no bundle included its manifests.
        IntegrityError: It answers with other bytes.
        CredentialsError: Credentials are missing or wrong.
        UpstreamError: The registry is unreachable, or refuses.
    """
    store = context.state.mirror
    documents = store.manifests(image)
    blobs = {
        blob.digest: blob.size
        for blob in blobs_of(documents).values()
        if not store.has_blob(blob.digest, blob.size)
    }
    reference = Reference(mirror.server, mirror.repository(image), digest=image.digest)
    registries = Registries({mirror.server: RegistryConfig(ca=mirror.ca)})
    client = RegistryClient(registries, Credentials(), say=context.progress.message)
    context.progress.start(f"fetching {image.reference.familiar}", sum(blobs.values()))
    try:
        for digest, size in blobs.items():
            bring = partial(_fetch_blob, context, client, reference, digest, size)
            retry(bring, client.attempts())
    finally:
        context.progress.finish()
        client.close()
    with translate_os_errors("fetch"):
        store.link_image(image, documents)
        store.set_tags(dict.fromkeys(context.desired.tags_of(image), image.digest))


def _fetch_blob(
    context: Context, client: RegistryClient, reference: Reference, digest: str, size: int
) -> None:
    with client.blob(reference, digest, size) as reader, translate_os_errors("fetch"):
        context.state.mirror.write_blob(digest, _pieces(reader, size))
    context.progress.advance(size)


def _pieces(reader: BlobReader, size: int) -> Iterator[bytes]:
    """Yield no more than were stated, however many come."""
    while size > 0 and (piece := reader.read()):
        yield piece[:size]
        size -= len(piece)
