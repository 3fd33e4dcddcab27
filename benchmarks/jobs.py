"""Who does what: the jobs, and the tools that do each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import tools
from benchmarks.data import DataSet
from benchmarks.tools import Contender


@dataclass(frozen=True, slots=True)
class Job:
    """One thing that all tools do.

    Attributes:
        name: For the tables.
        writes: It leaves something on disk, so that a sync after it matters.
        pushes: It fills a registry, which is new and empty for each run.
        contenders: The tools, airgap first.
    """

    name: str
    writes: bool
    pushes: bool
    contenders: Sequence[Contender]

    def contenders_for(self, data: DataSet) -> list[Contender]:
        """The tools for a data set."""
        if data.count == 1:
            return [contender for contender in self.contenders if contender.for_one]
        return [contender for contender in self.contenders if contender.for_many]


_BUNDLE = Job(
    "bundle",
    writes=True,
    pushes=False,
    contenders=(
        Contender(
            "airgap",
            "airgap bundle IMAGE… --no-roles --all-platforms --key KEY -o DIR",
            tools.airgap_bundle,
        ),
        Contender("crane", "crane pull --format=oci IMAGE… DIR", tools.crane_pull),
        Contender("oras", "oras cp --to-oci-layout IMAGE DIR:TAG", tools.oras_pull, sampled=True),
        Contender("regctl", "regctl image export IMAGE FILE", tools.regctl_export, sampled=True),
        Contender(
            "skopeo",
            "skopeo copy --all docker://IMAGE oci-archive:FILE",
            tools.skopeo_archive,
            for_many=False,
        ),
        Contender(
            "skopeo",
            "skopeo sync --all --src=yaml --dest=dir LIST DIR",
            tools.skopeo_sync,
            sampled=True,
            for_one=False,
        ),
        Contender("hauler", "hauler store sync + hauler store save", tools.hauler_bundle),
    ),
)

_VERIFY = Job(
    "verify",
    writes=False,
    pushes=False,
    contenders=(
        Contender(
            "airgap", "airgap verify DIR --trust KEY", tools.airgap_verify, tools.airgap_bundle
        ),
        Contender("sha256sum", "sha256sum -c SHA256SUMS", tools.sha256sum, tools.airgap_bundle),
    ),
)

_INSTALL = Job(
    "install",
    writes=True,
    pushes=True,
    contenders=(
        Contender(
            "airgap",
            "airgap install DIR --only seed --trust KEY",
            tools.airgap_seed,
            tools.airgap_bundle,
        ),
        Contender(
            "crane", "crane push DIR IMAGE", tools.crane_push, tools.crane_layouts, sampled=True
        ),
        Contender(
            "oras",
            "oras cp --from-oci-layout DIR@DIGEST IMAGE",
            tools.oras_push,
            tools.crane_layouts,
            sampled=True,
        ),
        Contender(
            "regctl",
            "regctl image import IMAGE FILE",
            tools.regctl_import,
            tools.regctl_export,
            sampled=True,
        ),
        Contender(
            "skopeo",
            "skopeo copy --all oci:DIR docker://IMAGE",
            tools.skopeo_push,
            tools.crane_layouts,
            for_many=False,
        ),
        Contender(
            "skopeo",
            "skopeo sync --all --src=dir --dest=docker DIR REGISTRY",
            tools.skopeo_sync_push,
            tools.skopeo_sync,
            sampled=True,
            for_one=False,
        ),
        Contender(
            "hauler",
            "hauler store load + hauler store copy",
            tools.hauler_install,
            tools.hauler_bundle,
        ),
    ),
)

JOBS = (_BUNDLE, _VERIFY, _INSTALL)
