"""The images of the upstream: made of real parts, under the names that everybody uses.

They stand below `docker.io/` and `ghcr.io/` in one registry, as a company's mirror has them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Lock

from airgap.parallel import run_all
from lab import debian
from lab.alpine import apk_repository
from lab.bases import (
    AMD64,
    ARM64,
    ARMV7,
    alpine,
    busybox,
    curl,
    debian_architecture,
    debian_slim,
    git,
    golang,
    maven,
    node,
    python,
    rust,
)
from lab.cache import cached, say
from lab.layers import Layer
from lab.parts import go_version, program
from lab.publish import DOCKER, OCI, Image, Media, Publisher
from lab.run import run
from lab.upstream import Upstream

_FILES = Path(__file__).parent / "files"
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SHELL = {"Cmd": ["sh"], "Env": [_PATH]}

LayerMaker = Callable[[str], Layer]
"""Makes a layer for a platform."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one repository's image is made.

    Attributes:
        repository: Its path in the upstream, with the host it is known under.
        tags: All of the same image.
        layers: From the lowest to the uppermost.
        config: As in `Image`.
        platforms: An index has one image for each.
        media: The family of media types.
        attested: The index carries attestations.
        single: There is no index, only the image of the single platform.
        parts: Programs of `lab.parts` that are in it.
    """

    repository: str
    tags: Sequence[str]
    layers: Sequence[LayerMaker]
    config: Mapping[str, object] = field(default_factory=dict)
    platforms: Sequence[str] = (AMD64, ARM64)
    media: Media = OCI
    attested: bool = False
    single: bool = False
    parts: Sequence[str] = ()


def _buildkit(platform: str) -> Layer:
    arch = debian_architecture(platform)
    layer = Layer().program("usr/bin/buildkit-runc", program("runc", arch))
    layer.program("usr/bin/buildkitd", program("buildkitd", arch))
    layer.program("usr/bin/buildctl", program("buildctl", arch))
    for script in ("buildkitd-entrypoint", "with-cgroupfs-remount"):
        layer.program(f"usr/bin/{script}", _FILES / script)
    return layer


def _frontend(platform: str) -> Layer:
    binary = program("dockerfile-frontend", debian_architecture(platform))
    return Layer().program("bin/dockerfile-frontend", binary)


def _old_frontend(platform: str) -> Layer:
    binary = program("dockerfile-frontend-1.11", debian_architecture(platform))
    return Layer().program("bin/dockerfile-frontend", binary)


def _scanner(platform: str) -> Layer:
    binary = program("syft-scanner", debian_architecture(platform))
    return Layer().program("bin/syft-scanner", binary)


def _buildx(platform: str) -> Layer:
    """The program; for platforms other than the tests' a text, which is carried and never run."""
    if platform in (AMD64, ARM64):
        return Layer().program("buildx", program("buildx", debian_architecture(platform)))
    suffix = ".exe" if platform.startswith("windows/") else ""
    return Layer().program(f"buildx{suffix}", f"buildx for {platform}\n")


def _registry(platform: str) -> Layer:
    layer = Layer().program("bin/registry", program("registry", debian_architecture(platform)))
    layer.program("entrypoint.sh", _FILES / "registry-entrypoint")
    return layer.file("etc/distribution/config.yml", _FILES / "registry.yml")


def _emulators(platform: str) -> Layer:
    arch = debian_architecture(platform)
    emulated = ("aarch64", "arm") if platform == AMD64 else ("x86_64",)
    root = debian.unpacked("qemu-user", suite=debian.TRIXIE, arch=arch)
    layer = Layer().program("usr/bin/binfmt", program("binfmt", arch))
    for machine in emulated:
        layer.program(f"usr/bin/qemu-{machine}", root / f"usr/bin/qemu-{machine}")
    return layer


def _old_emulator(platform: str) -> Layer:
    qemu = "usr/bin/qemu-aarch64-static"
    root = debian.unpacked("qemu-user-static", arch=debian_architecture(platform))
    return Layer().program(qemu, root / qemu)


def _old_emulators(platform: str) -> Layer:
    root = debian.unpacked("qemu-user-static", arch=debian_architecture(platform))
    layer = Layer()
    for machine in ("aarch64", "arm"):
        qemu = f"usr/bin/qemu-{machine}-static"
        layer.program(qemu, root / qemu)
    return layer


def _old_register(_: str) -> Layer:
    return Layer().program("register", _FILES / "register")


def _frontend_config(*capabilities: str) -> Mapping[str, object]:
    known = ("inputs", "subrequests", "contexts", *capabilities)
    return {
        "Entrypoint": ["/bin/dockerfile-frontend"],
        "Env": [_PATH],
        "Labels": {
            "moby.buildkit.frontend.network.none": "true",
            "moby.buildkit.frontend.caps": ",".join(
                f"moby.buildkit.frontend.{name}" for name in known
            ),
        },
    }


_BUILDX_PLATFORMS = (
    *("darwin/amd64", "darwin/arm64", "freebsd/amd64", "freebsd/arm64"),
    *(AMD64, "linux/arm/v6", ARMV7, ARM64, "linux/ppc64le", "linux/riscv64", "linux/s390x"),
    *("netbsd/amd64", "netbsd/arm64", "openbsd/amd64", "openbsd/arm64"),
    *("windows/amd64", "windows/arm64"),
)

RECIPES = (
    Recipe(
        "docker.io/moby/buildkit",
        ["buildx-stable-1", "latest"],
        [alpine, git, _buildkit],
        {
            "Entrypoint": ["/usr/bin/buildkitd-entrypoint"],
            "Env": [_PATH, "BUILDKIT_SETUP_CGROUPV2_ROOT=1"],
            "Volumes": {"/var/lib/buildkit": {}},
        },
        attested=True,
        parts=("buildkitd", "buildctl", "runc"),
    ),
    Recipe(
        "docker.io/docker/dockerfile",
        ["1"],
        [_frontend],
        _frontend_config("gitquerystring"),
        attested=True,
        parts=("dockerfile-frontend",),
    ),
    Recipe(
        "docker.io/docker/dockerfile",
        ["1.11"],
        [_old_frontend],
        _frontend_config(),
        parts=("dockerfile-frontend-1.11",),
    ),
    Recipe(
        "docker.io/docker/buildkit-syft-scanner",
        ["stable-1"],
        [_scanner],
        {"Entrypoint": ["/bin/syft-scanner"], "Env": [_PATH, "LOG_LEVEL=warn"]},
        attested=True,
        parts=("syft-scanner",),
    ),
    Recipe(
        "docker.io/docker/buildx-bin",
        ["latest"],
        [_buildx],
        {"Env": [_PATH]},
        platforms=_BUILDX_PLATFORMS,
        attested=True,
        parts=("buildx",),
    ),
    Recipe(
        "docker.io/library/registry",
        ["3"],
        [alpine, _registry],
        {
            "Entrypoint": ["/entrypoint.sh"],
            "Cmd": ["/etc/distribution/config.yml"],
            "Env": [_PATH, "OTEL_TRACES_EXPORTER=none"],
            "ExposedPorts": {"5000/tcp": {}},
            "Volumes": {"/var/lib/registry": {}},
        },
        media=DOCKER,
        parts=("registry",),
    ),
    Recipe(
        "docker.io/tonistiigi/binfmt",
        ["latest"],
        [_emulators],
        {
            "Entrypoint": ["/usr/bin/binfmt"],
            "Env": [_PATH, "QEMU_PRESERVE_ARGV0=1"],
            "Volumes": {"/tmp": {}},
        },
        attested=True,
        parts=("binfmt",),
    ),
    Recipe(
        "docker.io/library/alpine",
        ["latest", "3.20"],
        [alpine],
        _SHELL,
        platforms=(AMD64, ARM64, ARMV7),
    ),
    Recipe(
        "docker.io/library/busybox",
        ["latest"],
        [busybox],
        _SHELL,
        platforms=(AMD64, ARM64, ARMV7),
        attested=True,
    ),
    Recipe(
        "docker.io/multiarch/qemu-user-static",
        ["register"],
        [busybox, _old_register],
        {"Entrypoint": ["/register"], "Cmd": ["sh"], "Env": [_PATH, "QEMU_BIN_DIR=/usr/bin"]},
        platforms=[AMD64],
        media=DOCKER,
        single=True,
    ),
    Recipe(
        "docker.io/multiarch/qemu-user-static",
        ["latest"],
        [busybox, _old_register, _old_emulators],
        {"Entrypoint": ["/register"], "Cmd": ["sh"], "Env": [_PATH, "QEMU_BIN_DIR=/usr/bin"]},
        platforms=[AMD64],
        media=DOCKER,
        single=True,
    ),
    Recipe(
        "docker.io/multiarch/qemu-user-static",
        ["x86_64-aarch64"],
        [_old_emulator],
        platforms=[AMD64],
        media=DOCKER,
        single=True,
    ),
    Recipe(
        "docker.io/arm64v8/alpine",
        ["latest"],
        [alpine],
        _SHELL,
        platforms=[ARM64],
        media=DOCKER,
        single=True,
    ),
    Recipe("ghcr.io/example/base", ["1"], [alpine], _SHELL),
    Recipe(
        "docker.io/library/golang",
        ["alpine"],
        [alpine, golang],
        {
            "Cmd": ["sh"],
            "Env": [f"{_PATH}:/usr/local/go/bin:/go/bin", "GOPATH=/go", "CGO_ENABLED=0"],
            "WorkingDir": "/go",
        },
    ),
    Recipe(
        "docker.io/library/debian",
        ["bookworm-slim"],
        [debian_slim],
        {"Cmd": ["bash"], "Env": [_PATH]},
        media=DOCKER,
    ),
    Recipe(
        "docker.io/library/buildpack-deps",
        ["trixie-curl"],
        [curl],
        {"Cmd": ["bash"], "Env": [_PATH]},
    ),
    Recipe(
        "docker.io/library/python",
        ["3.13-slim"],
        [python],
        {"Cmd": ["python3"], "Env": [_PATH, "PYTHON_VERSION=3.13.5"]},
    ),
    Recipe(
        "docker.io/library/node",
        ["24-slim"],
        [debian_slim, node],
        {"Cmd": ["node"], "Env": [_PATH]},
    ),
    Recipe(
        "docker.io/library/rust",
        ["1.85-slim"],
        [rust],
        {"Cmd": ["bash"], "Env": [f"{_PATH}:/usr/local/cargo/bin", "CARGO_HOME=/usr/local/cargo"]},
    ),
    Recipe(
        "docker.io/library/maven",
        ["3.9-eclipse-temurin-21"],
        [maven],
        {"Cmd": ["mvn"], "Env": [_PATH, "JAVA_HOME=/usr/lib/jvm/default"]},
    ),
)


_DEMO = (
    *("moby/buildkit", "docker/buildx-bin", "docker/buildkit-syft-scanner", "library/registry"),
    *("tonistiigi/binfmt", "library/alpine", "library/busybox", "library/debian"),
    *("library/golang", "docker/dockerfile"),
)
DEMO_RECIPES = tuple(
    recipe
    for recipe in RECIPES
    if recipe.repository.removeprefix("docker.io/") in _DEMO and recipe.tags != ["1.11"]
)
"""What `bundles/arm64-builder.toml` names, and the build that the demo records."""

_IMAGES_AT_ONCE = 2


def storage(recipes: Sequence[Recipe] = RECIPES) -> Path:
    """The storage folder of a registry with all images of the recipes; it must not be changed."""

    def make(folder: Path) -> None:
        with Upstream() as registry, TemporaryDirectory(dir=folder) as scratch:
            publisher = registry.publisher()

            def make_image(recipe: Recipe) -> None:
                say(f"image {recipe.repository}:{recipe.tags[0]}")
                publish(publisher, recipe, Path(scratch))

            run_all(make_image, recipes, _IMAGES_AT_ONCE, Event())
            run(["cp", "--archive", "--link", registry.storage, folder / "storage"])

    return cached("upstream images", _ingredients(recipes), make) / "storage"


def parts_of(recipes: Sequence[Recipe]) -> list[str]:
    """The programs that are in images."""
    return list(dict.fromkeys(part for recipe in recipes for part in recipe.parts))


def publish(publisher: Publisher, recipe: Recipe, scratch: Path) -> str:
    """Makes the images of a recipe and pushes them.

    Args:
        publisher: Of a registry that takes pushes.
        recipe: What to make.
        scratch: A folder for the layers, which are made once each.

    Returns:
        The digest of what the tags name.
    """
    images = [
        Image(
            platform,
            [_written(make, platform, scratch) for make in recipe.layers],
            recipe.config,
        )
        for platform in recipe.platforms
    ]
    if recipe.single:
        (image,) = images
        return publisher.publish_single(recipe.repository, recipe.tags, image, media=recipe.media)
    return publisher.publish(
        recipe.repository, recipe.tags, images, media=recipe.media, attested=recipe.attested
    )


def _written(make: LayerMaker, platform: str, scratch: Path) -> Path:
    name = f"{make.__name__}-{platform.replace('/', '-')}.tar.gz"
    with _locks[name]:
        target = scratch / name
        return target if target.exists() else make(platform).write(target)


_locks: defaultdict[str, Lock] = defaultdict(Lock)
"""Of each layer, which several images may have."""


def _ingredients(recipes: Sequence[Recipe]) -> list[str]:
    """The recipes' own text, and every program that goes into an image."""
    here = Path(__file__).parent
    modules = ("images", "bases", "alpine", "layers", "publish", "debian", "wheels")
    texts = [(here / f"{name}.py").read_text() for name in modules]
    texts.append(apk_repository().key.read_text())
    texts += [path.read_text() for path in sorted(_FILES.iterdir())]
    names = parts_of(recipes)
    programs = [str(program(name, arch)) for name in names for arch in ("amd64", "arm64")]
    tags = [f"{recipe.repository}:{recipe.tags[0]}" for recipe in recipes]
    return [*texts, *programs, *tags, go_version()]
