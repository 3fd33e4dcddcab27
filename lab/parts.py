"""Real parts, built from Go modules: BuildKit, buildx, the registry, Docker Engine, tools.

`go install MODULE@VERSION` refuses modules with `exclude` or `replace` lines, so each family of
parts has a small module of its own under `go/`, with `tool` lines; versions are pinned there.
"""

from __future__ import annotations

import re
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from lab import debian
from lab.cache import cached
from lab.run import run

GO_MODULES = Path(__file__).parent / "go"


@dataclass(frozen=True, slots=True)
class Part:
    """A program that is built from a Go package.

    Attributes:
        family: The folder under `go/` that pins its version.
        module: The Go module whose version is the part's own.
        package: The package below that module; empty for the module itself. One that begins with
            `./` is ours and lies beside the family's go.mod.
        version_variable: What the linker sets to the version, if the program prints it.
        static_cgo: Needs C code, linked statically (runc with seccomp).
        binary: The program's file name, if it is not the package's last element.
        tags: Go's build tags.
    """

    family: str
    module: str
    package: str
    version_variable: str = ""
    static_cgo: bool = False
    binary: str = ""
    tags: str = ""

    @property
    def name(self) -> str:
        """The program's file name."""
        return self.binary or f"{self.module}/{self.package}".rstrip("/").rsplit("/", 1)[-1]

    @property
    def version(self) -> str:
        """The pinned version, e.g. `v0.32.2`."""
        text = (GO_MODULES / self.family / "go.mod").read_text()
        found = re.search(rf"^\s*(?:require )?{re.escape(self.module)} (v\S+)", text, re.M)
        if found is None:
            message = f"{self.family}/go.mod does not require {self.module}"
            raise LookupError(message)
        return found[1]


_BUILDKIT = "github.com/moby/buildkit"
_BUILDX = "github.com/docker/buildx"
_REGISTRY = "github.com/distribution/distribution/v3"
_MOBY = "github.com/moby/moby/v2"
_COMPOSE = "github.com/docker/compose/v5"
_CONTAINERD = "github.com/containerd/containerd/v2"

PARTS = {
    part.name: part
    for part in (
        Part("crane", "github.com/google/go-containerregistry", "cmd/crane"),
        Part("registry", _REGISTRY, "cmd/registry"),
        Part("buildkit", _BUILDKIT, "cmd/buildkitd", f"{_BUILDKIT}/version.Version"),
        Part("buildkit", _BUILDKIT, "cmd/buildctl", f"{_BUILDKIT}/version.Version"),
        Part(
            "buildkit",
            _BUILDKIT,
            "frontend/dockerfile/cmd/dockerfile-frontend",
            f"{_BUILDKIT}/version.Version",
        ),
        Part(
            "frontend",
            _BUILDKIT,
            "frontend/dockerfile/cmd/dockerfile-frontend",
            f"{_BUILDKIT}/version.Version",
            binary="dockerfile-frontend-1.11",
        ),
        Part("buildkit", _BUILDKIT, "./resolve"),
        Part("buildkit", _BUILDKIT, "./binfmt"),
        Part("buildkit", _BUILDKIT, "./syft-scanner"),
        Part("runc", "github.com/opencontainers/runc", "", static_cgo=True),
        Part("containerd", _CONTAINERD, "cmd/containerd", f"{_CONTAINERD}/version.Version"),
        Part("containerd", _CONTAINERD, "cmd/containerd-shim-runc-v2"),
        Part("containerd", _CONTAINERD, "cmd/ctr"),
        Part("containerd", _CONTAINERD, "./cripull"),
        Part("containerd", _CONTAINERD, "./platforms"),
        Part("moby", _MOBY, "cmd/dockerd", f"{_MOBY}/dockerversion.Version"),
        Part("moby", _MOBY, "cmd/docker-proxy"),
        Part("buildx", _BUILDX, "cmd/buildx", f"{_BUILDX}/version.Version"),
        Part("buildx", _BUILDX, "./manifests"),
        Part("wharfie", "github.com/rancher/wharfie", "./pull", binary="wharfie"),
        Part(
            "compose",
            _COMPOSE,
            "cmd",
            f"{_COMPOSE}/internal.Version",
            binary="docker-compose",
        ),
        Part("oras", "oras.land/oras", "cmd/oras"),
        Part("regctl", "github.com/regclient/regclient", "cmd/regctl"),
        Part("olareg", "github.com/olareg/olareg", "cmd/olareg"),
        Part("zot", "zotregistry.io/zot", "cmd/zot", tags="containers_image_openpgp"),
        Part("gitea", "gitea.dev", "", binary="gitea"),
    )
}

ENGINE_VERSION = "29.0.0"
"""What dockerd says of itself: the module's own tag, v2.0.0-beta, is not an Engine's version."""

ENGINE_PARTS = ("dockerd", "docker-proxy", "containerd", "containerd-shim-runc-v2", "runc")
"""Docker Engine, which machines of both kinds have."""

BENCHMARK_PARTS = ("oras", "regctl")
"""Parts that no test uses: `benchmarks/` has them built when it needs them."""


def program(name: str, arch: str = "amd64") -> Path:
    """Path of a part's program, built if need be.

    Args:
        name: A key of `PARTS`.
        arch: A Go architecture.

    Raises:
        HostError: Go is missing, or the build failed.
    """
    part = PARTS[name]
    module = GO_MODULES / part.family
    flags = _flags(part)
    env = {"GOARCH": arch, "GOFLAGS": "-mod=readonly", "CGO_ENABLED": "0"}
    if part.static_cgo:
        env |= {"CGO_ENABLED": "1", **(_c_for_arm64() if arch == "arm64" else {})}

    def build(folder: Path) -> None:
        ours = part.package.startswith("./")
        package = part.package if ours else f"{part.module}/{part.package}".rstrip("/")
        run(["go", "build", *flags, "-o", folder / part.name, package], cwd=module, env=env)

    ingredients = [
        (module / "go.mod").read_text(),
        (module / "go.sum").read_text(),
        part.package,
        *(path.read_text() for path in sorted((module / part.package).glob("*.go"))),
        *flags,
        *(f"{key}={value}" for key, value in env.items()),
        go_version(),
    ]
    return cached(f"{name} {part.version} {arch}", ingredients, build) / part.name


def _c_for_arm64() -> dict[str, str]:
    """Debian's cross compiler, and its libseccomp for arm64 in a folder of its own."""
    root = debian.unpacked("libseccomp-dev", arch="arm64")
    return {
        "CC": "aarch64-linux-gnu-gcc",
        "PKG_CONFIG_LIBDIR": str(root / "usr" / "lib" / "aarch64-linux-gnu" / "pkgconfig"),
        "PKG_CONFIG_SYSROOT_DIR": str(root),
    }


def _flags(part: Part) -> list[str]:
    linker = ["-s", "-w"]
    if part.version_variable:
        linker.append(f"-X {part.version_variable}={_shown_version(part)}")
    tags = ["-tags", part.tags] if part.tags else []
    if part.static_cgo:
        linker.append("-extldflags -static")
        tags = ["-tags", "seccomp netgo osusergo"]
    return ["-trimpath", *tags, "-ldflags", " ".join(linker)]


def _shown_version(part: Part) -> str:
    """What a program says of itself: the Engine and containerd go without the `v`."""
    if part.name == "dockerd":
        return ENGINE_VERSION
    return part.version.removeprefix("v") if part.name == "containerd" else part.version


def go_version() -> str:
    """The version of Go on this machine, e.g. `go1.26.8`."""
    return run(["go", "env", "GOVERSION"]).strip()


def go_toolchain(arch: str) -> Path:
    """A folder with Go itself for `arch`, as an image named `golang` has it in /usr/local/go.

    The toolchain is a module (https://go.dev/ref/mod#toolchains), whose files lose their
    executable bit on the way.
    """
    module = f"golang.org/toolchain@v0.0.1-{go_version()}.linux-{arch}"

    def make(folder: Path) -> None:
        source = run(["go", "env", "GOMODCACHE"]).strip()
        run(["go", "mod", "download", module], cwd=folder)
        go = folder / "go"
        shutil.copytree(Path(source) / module, go)
        for path in (go, *go.rglob("*")):
            mode = path.stat().st_mode
            path.chmod(mode | stat.S_IWUSR | (0o111 if path.parent in _executables(go) else 0))

    return cached(f"go {go_version()} {arch}", [module], make) / "go"


def _executables(go: Path) -> tuple[Path, ...]:
    return (go / "bin", *(go / "pkg" / "tool").glob("*"))
