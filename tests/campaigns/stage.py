"""What all runs share: image sets in a registry, a key, and bundles that nothing disturbed."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.layers import Layer
from lab.publish import Image
from lab.upstream import Upstream
from tests.campaigns.kinds import HOST
from tests.campaigns.process import run_to_end
from tests.campaigns.same import document_of, joined_tar
from tests.integration.command import airgap

_KB = 1000
_LARGE_BLOB = 20 * _KB


@dataclass(frozen=True, slots=True)
class ImageSet:
    """An image of a shape that matters.

    Attributes:
        layers: Platform to the sizes of its layers in kilobytes.
        indexed: It has an index, and not a manifest alone.
        options: Of the command that bundles it.
    """

    layers: Mapping[str, Sequence[int]]
    indexed: bool = True
    options: Sequence[str] = ()


IMAGE_SETS = {
    "many": ImageSet({"linux/amd64": [40] * 12}),
    "few": ImageSet({"linux/amd64": [300, 200, 150], "linux/arm64": [300, 250, 100]}),
    "single": ImageSet({"linux/amd64": [700, 400, 60]}, indexed=False),
    "large": ImageSet({"linux/amd64": [3000, 1500, 100]}),
    "cut": ImageSet({"linux/amd64": [1500, 1200, 30]}, options=["--volume-size=1MiB"]),
}


@dataclass(frozen=True, slots=True)
class Stage:
    """Where runs take place. It holds nothing but names, and goes to other processes.

    Attributes:
        registry: Address of the registry with all image sets.
        folder: Of the key, the tool and the undisturbed bundles.
    """

    registry: str
    folder: Path

    @property
    def key(self) -> Path:
        return self.folder / "site.key"

    @property
    def public_key(self) -> Path:
        return self.folder / "site.pub"

    @property
    def tool(self) -> Path:
        """What bundles carry as the tool for the isolated host."""
        return self.folder / "tool"

    def undisturbed(self, image_set: str) -> Path:
        """The bundle that a run must come to."""
        return self.folder / image_set

    def layers(self, image_set: str) -> list[str]:
        """The digests of the large blobs."""
        bodies = self._bodies(image_set)
        return [digest for digest, body in bodies.items() if len(body) > _LARGE_BLOB]

    def blobs(self, image_set: str) -> list[str]:
        """The digests of configs and layers."""
        bodies = self._bodies(image_set)
        return [digest for digest, body in bodies.items() if not _is_manifest(body)]

    def manifests(self, image_set: str) -> list[str]:
        """The tag, and the digests of manifests that are asked for by digest."""
        bodies = self._bodies(image_set)
        tagged = document_of(self.undisturbed(image_set))["images"][0]["digest"]
        found = [digest for digest, body in bodies.items() if _is_manifest(body)]
        return ["1", *(digest for digest in found if digest != tagged)]

    def _bodies(self, image_set: str) -> dict[str, bytes]:
        bundle = self.undisturbed(image_set)
        tar = joined_tar(bundle)
        blobs = document_of(bundle)["blobs"]
        return {b["digest"]: tar[b["offset"] : b["offset"] + b["size"]] for b in blobs}

    def arguments(self, image_set: str, registries: Path, output: Path) -> list[str | Path]:
        """The command that bundles a set."""
        carried = IMAGE_SETS[image_set]
        options = [*(f"--platform={platform}" for platform in carried.layers), *carried.options]
        name = f"{HOST}/campaign/{image_set}:1"
        places: list[str | Path] = ["--registries", registries, "--key", self.key, "-o", output]
        return ["bundle", name, "--no-roles", *options, *places]


def make_stage(registry: Upstream, folder: Path) -> Stage:
    """Publishes the image sets, and bundles each of them undisturbed.

    Args:
        registry: Takes pushes.
        folder: An empty one, for the stage alone.
    """
    stage = Stage(registry.address, folder)
    registries = folder / "registries.toml"
    registries.write_text(f'[registry."{HOST}"]\nreplace = "{registry.address}"\n')
    stage.tool.write_bytes(random.Random("tool").randbytes(50 * _KB))
    assert airgap("keygen", folder / "site").code == 0
    for name, image_set in IMAGE_SETS.items():
        _publish(registry, name, image_set, folder)
        done = run_to_end(stage.tool, stage.arguments(name, registries, stage.undisturbed(name)))
        assert done.code == 0, done.err
    return stage


def _publish(registry: Upstream, name: str, image_set: ImageSet, folder: Path) -> None:
    images = [
        Image(
            platform, [_layer(folder, f"{name} {place}", size) for place, size in enumerate(sizes)]
        )
        for platform, sizes in image_set.layers.items()
    ]
    publisher = registry.publisher()
    if image_set.indexed:
        publisher.publish(f"campaign/{name}", ["1"], images)
    else:
        publisher.publish_single(f"campaign/{name}", ["1"], images[0])


def _layer(folder: Path, name: str, kilobytes: int) -> Path:
    """A layer that does not compress; the same name and size give the same bytes."""
    data = random.Random(f"{name} {kilobytes}").randbytes(kilobytes * _KB)
    return Layer().file("data", data).write(folder / f"layer {name} {kilobytes}.tar.gz")


def _is_manifest(body: bytes) -> bool:
    """Of all blobs only manifests and indexes state a media type."""
    return body.startswith(b"{") and b'"mediaType"' in body
