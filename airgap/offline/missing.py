"""What a build needs and this host does not have, found before the build begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from airgap.dockerfile.scan import ImageNeed, Scan, UrlNeed
from airgap.oci.platform import Platform, parse_platform
from airgap.oci.reference import Reference
from airgap.oci.registries import is_loopback
from airgap.offline.inputs import BuildInputs
from airgap.replay.recording import Recording
from airgap.replay.redaction import arguments_of
from airgap.replay.request import RequestKey, normal_url


@dataclass(frozen=True, slots=True)
class Missing:
    """What is not here.

    Attributes:
        images: With those platforms alone that the mirror lacks.
        urls: Of ADD, that no recording has; fit to be shown.
        held: Of those images whose tag a newer bundle may move, the platforms that the mirror has:
            such a bundle needs them too, or they are missing next.
    """

    images: tuple[ImageNeed, ...]
    urls: tuple[UrlNeed, ...]
    held: Mapping[Reference, tuple[Platform, ...]] = field(default_factory=dict)

    @property
    def lines(self) -> list[str]:
        """A line each, for people."""
        return [
            *(
                f"{need.file}:{need.line}: {need.reference.familiar} "
                f"for {', '.join(map(str, need.platforms))}"
                for need in self.images
            ),
            *(f"{need.file}:{need.line}: {need.url}" for need in self.urls),
        ]


def find_missing(
    inputs: BuildInputs, scan: Scan, recordings: Sequence[Recording], args: Mapping[str, str]
) -> Missing:
    """Compare what a build needs with the mirror and with recordings.

    Images of registries that the builder may ask, such as those on this host, are not looked for.

    Args:
        inputs: What there is.
        scan: What the build needs.
        recordings: Those that would be replayed.
        args: The build's arguments, whose values are not shown.
    """
    images, held = [], {}
    for need in scan.images:
        host = need.reference.host
        reachable = host in inputs.registries or is_loopback(host)
        if not reachable and (lacking := _lacking(inputs, need)):
            images.append(ImageNeed(need.reference, lacking, need.file, need.line, need.by))
            entry = inputs.desired.find(need.reference)
            if entry is not None and need.reference.own_tag:
                held[need.reference] = tuple(map(parse_platform, entry.platforms))
    known = {key for recording in recordings for key in recording.responses}
    arguments = arguments_of(args)
    urls = []
    for url in scan.urls:
        request = RequestKey(normal_url(url.url) or url.url, arguments=arguments)
        if request.key not in known:
            urls.append(UrlNeed(request.shown, url.file, url.line))
    return Missing(tuple(images), tuple(urls), held)


def _lacking(inputs: BuildInputs, need: ImageNeed) -> tuple[Platform, ...]:
    entry = inputs.desired.find(need.reference)
    if entry is None:
        return need.platforms
    if not entry.omitted and len(entry.platforms) == 1:
        return ()  # of an image for one platform BuildKit takes that one
    return tuple(platform for platform in need.platforms if not entry.serves(platform))
