"""What steps, checks and commands work with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from airgap.builder.engine import Engine
from airgap.bundle.archive import Archive
from airgap.bundle.contents import ImageEntry
from airgap.bundle.media import Media
from airgap.bundle.replay_tar import ReplayTar
from airgap.bundle.verify import VerifiedBundle
from airgap.errors import AirgapError, translate_os_errors
from airgap.isolated.host.user import User
from airgap.isolated.state.changes import Changes
from airgap.isolated.state.layout import State
from airgap.isolated.state.registry_tags import TagMoves
from airgap.isolated.state.settings import HostSettings
from airgap.oci.image_tree import image_for
from airgap.oci.manifest import Index, Manifest
from airgap.oci.platform import Platform
from airgap.progress import Progress
from airgap.store.bundle_set import BundleSet


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check saw.

    Attributes:
        ok: Whether all is as it should be.
        detail: What was seen, or what is wrong, in a few words.
        remedy: What helps, where the check knows; empty if it is well.
    """

    ok: bool
    detail: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Options:
    """What the operator asked of one install.

    Attributes:
        load: Further images that Docker itself is to have.
        select: Make ours the selected builder of the user: always, never, or (None) where the
            user has not selected one.
        restart_docker: dockerd may be restarted.
        repair: Every blob in storage is hashed, and those that are damaged are restored.
        fix: Settings of the user that are in the way may be changed.
        allow_older: Tags may go back to an older bundle's.
    """

    load: tuple[str, ...] = ()
    select: bool | None = None
    restart_docker: bool = False
    repair: bool = False
    fix: bool = False
    allow_older: bool = False


@dataclass(frozen=True, slots=True)
class OpenBundle:
    """A verified bundle that is being installed.

    Attributes:
        media: Where it is.
        signed: What was signed.
        archive: Its images.
        replay: Its recordings.
        documents: Digest to manifest or index, of all that it carries.
    """

    media: Media
    signed: VerifiedBundle
    archive: Archive
    replay: ReplayTar
    documents: Mapping[str, Manifest | Index]


@dataclass(frozen=True, slots=True)
class Context:
    """What all steps work with.

    Attributes:
        state: What is kept on disk.
        wanted: What the host should be.
        settings: Ports and the like.
        engine: Docker.
        user: Whom the installation is for.
        changes: What was changed outside of `state`.
        progress: Sees what happens.
        options: Of this install.
        bundle: The bundle being installed; None in other commands.
        moves: What the bundle that comes does to tags of the site's registry; None where none
            does.
    """

    state: State
    desired: BundleSet
    settings: HostSettings
    engine: Engine
    user: User
    changes: Changes
    progress: Progress
    options: Options = field(default_factory=Options)
    bundle: OpenBundle | None = None
    moves: TagMoves | None = None

    def engine_ids(self, image: ImageEntry, platform: Platform | None) -> set[str]:
        """Return the ids under which Docker may know an image: of its index, manifests or configs.

        Which one depends on Docker's image store. One with an index's id has all its platforms.

        Args:
            image: Of an installed bundle.
            platform: That Docker must have the image for; None if any will do.
        """
        documents = self.state.mirror.manifests(image)
        manifests = [document for document in documents.values() if isinstance(document, Manifest)]
        top = documents[image.digest]
        if platform is not None and isinstance(top, Index):
            found = image_for(image.digest, documents, platform)
            manifests = [found] if found else []
        return {*documents, *(manifest.config.digest for manifest in manifests)}

    def engine_id(self, image: ImageEntry, platform: Platform | None) -> str:
        """Return Docker's id of exactly this image, under its own name; empty if Docker lacks it.

        Args:
            image: Of an installed bundle.
            platform: As for `engine_ids`.
        """
        ids = self.engine_ids(image, platform)
        names = [image.reference.familiar] if image.reference.own_tag else sorted(ids)
        return next((id for name in names if (id := self.engine.image_id(name)) in ids), "")


def run_check(what: str, check: Callable[[], CheckResult]) -> CheckResult:
    """Return what a check saw, with every foreseeable error as its finding."""
    try:
        with translate_os_errors(what):
            return check()
    except AirgapError as error:
        return CheckResult(False, error.message, error.remedy)
