"""What `airgap bundle` prints: the plan, and the result."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from airgap.cli._shared.table import table
from airgap.progress import format_bytes, format_count
from airgap.views import workstation as views
from airgap.views.view import view_of

if TYPE_CHECKING:
    from airgap.bundle.contents import Contents
    from airgap.connected.plan import BundlePlan
    from airgap.trust.keys import PrivateKey


def plan_view(plan: BundlePlan) -> views.BundlePlan:
    """Return the plan for programs."""
    contents = plan.contents
    return views.BundlePlan(
        contents.name,
        contents.serial,
        [
            view_of(views.PlannedImage, image, bytes=plan.image_bytes[image.name])
            for image in contents.images
        ],
        len(contents.blobs),
        plan.fetch_bytes,
        plan.tar_bytes,
        [volume.name for volume in plan.volumes],
        plan.notes,
    )


def plan_text(plan: BundlePlan) -> str:
    """Return the plan for people: a row for each image, then the sums."""
    images = plan.contents.images
    rows = [("IMAGE", "SIZE", "PLATFORMS", "FOR")]
    for image in images:
        left_out = format_count(len(image.omitted), "platform")
        rows.append(
            (
                image.reference.familiar,
                format_bytes(plan.image_bytes[image.name]),
                image.made_for + (f" (without {left_out})" if image.omitted else ""),
                ", ".join(image.roles),
            )
        )
    volumes = f", in {len(plan.volumes)} volumes" if len(plan.volumes) > 1 else ""
    counts = (
        f"{format_count(len(images), 'image')}, {format_count(len(plan.contents.blobs), 'blob')}"
    )
    lines = [table(rows), f"{counts}, {format_bytes(plan.fetch_bytes)} to fetch{volumes}"]
    return "\n".join([*lines, *(f"note: {note}" for note in plan.notes)])


def result_view(
    contents: Contents, folder: Path, key: PrivateKey, seconds: float
) -> views.BundleResult:
    """Return what was made, for programs.

    Args:
        contents: What was signed.
        folder: Where it is.
        key: What signed it.
        seconds: How long it took.
    """
    from airgap.bundle.checksums import checksums
    from airgap.oci.digest import digest_of

    files = [views.BundleFile(file.name, file.size, file.sha256) for file in contents.files]
    return view_of(
        views.BundleResult,
        contents,
        folder=str(folder),
        digest=digest_of(checksums(contents)),
        contents_digest=digest_of(contents.to_bytes()),
        signer=key.public.fingerprint,
        images=len(contents.images),
        recordings=len(contents.recordings),
        files=files,
        bytes=sum(file.bytes for file in files),
        seconds=round(seconds, 3),
    )


def result_text(result: views.BundleResult, key: Path) -> str:
    """Return the summary for people, with the next command."""
    speed = format_bytes(int(result.bytes / max(result.seconds, 0.001)))
    return (
        f"signed: bundle {result.name}, serial {result.serial}, in {result.folder}\n"
        f"{format_count(result.images, 'image')}, {format_count(len(result.files), 'file')}, "
        f"{format_bytes(result.bytes)} in {result.seconds:.0f} s ({speed}/s)\n"
        f"next: airgap verify {shlex.quote(result.folder)} "
        f"--trust {shlex.quote(str(key.with_suffix('.pub')))}"
    )
