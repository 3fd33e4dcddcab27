"""The views of what runs on the isolated host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """What a check saw.

    Attributes:
        ok: Whether everything is correct.
        detail: What was seen, or what is wrong.
        remedy: What helps; empty if nothing is wrong, or if the check does not know.
    """

    ok: bool
    detail: str
    remedy: str


@dataclass(frozen=True, slots=True)
class ActiveBundle:
    """An installed bundle that still provides something.

    Attributes:
        bundle: `NAME-SERIAL` of the bundle.
        action: What the receipt is of.
        at: When it was installed, by this host's clock.
        by: The user who installed it.
        tool: The version of airgap that installed it.
        digest: The digest of its SHA256SUMS.
        signers: The fingerprints of the trusted keys that signed it.
        verified: How the signature was checked.
        previous: The hexadecimal SHA-256 of the receipt before; empty for the first.
        roles: What this host uses from it.
    """

    bundle: str
    action: str
    at: str
    by: str
    tool: str
    digest: str
    signers: Sequence[str]
    verified: str
    previous: str
    roles: Sequence[str]


@dataclass(frozen=True, slots=True)
class InstalledImage:
    """An image that this host has.

    Attributes:
        name: Its fully qualified name.
        digest: Of its index or manifest.
        media_type: Of its index or manifest.
        platforms: The platforms that are included.
        omitted: The platforms that its index names and the bundle left out.
        roles: What this host uses it for.
        referrers: The digests of its referrers.
        bundle: `NAME-SERIAL` of the bundle that it came with.
        since: When that bundle was installed.
    """

    name: str
    digest: str
    media_type: str
    platforms: Sequence[str]
    omitted: Sequence[str]
    roles: Sequence[str]
    referrers: Sequence[str]
    bundle: str
    since: str


@dataclass(frozen=True, slots=True)
class InstalledRecording:
    """A recording that this host has.

    Attributes:
        name: Its name.
        digest: Of its map of URLs to responses.
        dockerfile: The digest of the recorded Dockerfile; empty for requested URLs.
        platforms: The platforms that it was recorded for.
        until: When apt starts to refuse its release files, if it checks dates; empty for never.
        bundle: `NAME-SERIAL` of the bundle that it came with.
        since: When that bundle was installed.
    """

    name: str
    digest: str
    dockerfile: str
    platforms: Sequence[str]
    until: str
    bundle: str
    since: str


@dataclass(frozen=True, slots=True)
class Status:
    """What is installed: `airgap status --json`.

    Attributes:
        bundles: The active bundles, in the order of their installation.
        images: The images, by name.
        recordings: The recordings, by name.
        steps: The check of each step, by its name.
    """

    bundles: Sequence[ActiveBundle]
    images: Mapping[str, InstalledImage]
    recordings: Mapping[str, InstalledRecording]
    steps: Mapping[str, Check]


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a step did.

    Attributes:
        name: The step.
        changed: Whether it changed anything.
        detail: The state at the end.
        counts: How much was done, by steps that count.
    """

    name: str
    changed: bool
    detail: str
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class InstallResult:
    """What an installation did: `airgap install --json`.

    Attributes:
        bundle: `NAME-SERIAL` of the bundle.
        changed: Whether anything changed.
        steps: What each step did.
        unlisted: Files on the medium that are not part of the bundle; they were not opened.
    """

    bundle: str
    changed: bool
    steps: Sequence[StepResult]
    unlisted: Sequence[str]


@dataclass(frozen=True, slots=True)
class RollbackResult:
    """What a rollback did: `airgap rollback --json`.

    Attributes:
        from_bundle: `NAME-SERIAL` of the bundle that was undone.
        to_bundle: `NAME-SERIAL` of the last bundle that is active now.
        outcomes: What each step did.
    """

    from_bundle: str
    to_bundle: str
    outcomes: Sequence[StepResult]


@dataclass(frozen=True, slots=True)
class Receipt:
    """One line of the install log: `airgap log --json`.

    Attributes:
        previous: The hexadecimal SHA-256 of the receipt before; empty for the first.
        action: What was done. `begun` is written before an installation changes anything.
        at: When, by this host's clock.
        by: The user.
        tool: The version of airgap.
        bundle: `NAME-SERIAL` of the bundle; empty for an uninstall.
        digest: The digest of its SHA256SUMS.
        signers: The fingerprints of the trusted keys that signed it.
        verified: How the signature was checked.
    """

    previous: str
    action: str
    at: str
    by: str
    tool: str
    bundle: str
    digest: str
    signers: Sequence[str]
    verified: str


@dataclass(frozen=True, slots=True)
class PruneResult:
    """What was removed, or would be: `airgap prune --json`.

    Attributes:
        bundles: `NAME-SERIAL` of the bundles.
        images: The names of the images.
        bytes: The size of what is freed.
    """

    bundles: Sequence[str]
    images: Sequence[str]
    bytes: int


@dataclass(frozen=True, slots=True)
class NodeState:
    """A builder node: `airgap node list --json`.

    Attributes:
        name: Its name.
        endpoint: Its address.
        platforms: The platforms that it builds for.
        reachable: Whether it answers.
        state: What is wrong, or that it runs.
        until: When its certificate expires; null if it has none.
    """

    name: str
    endpoint: str
    platforms: Sequence[str]
    reachable: bool
    state: str
    until: str | None


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """The configuration of another engine: `airgap mirrors --json`.

    Attributes:
        files: The content of each file, by its path on the engine's host.
        notes: What a person has to know beside that.
    """

    files: Mapping[str, str]
    notes: Sequence[str]
