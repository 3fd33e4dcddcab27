"""What each tool is given to do: its command lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import Command

SAMPLE = 100
"""Of many images, so many are given to tools that take a single one for each command."""


@dataclass(frozen=True, slots=True)
class Programs:
    """Where the programs are, and what airgap needs beside itself.

    Attributes:
        airgap: The command as people have it.
        python: The interpreter that runs it.
        crane: Of the lab.
        oras: Of the lab.
        regctl: Of the lab.
        skopeo: Debian's.
        hauler: Empty if none is given.
        key: What bundles are signed with; the public half is beside it.
        unsynced: The verbs of airgap that have an option `--no-sync`.
    """

    airgap: str
    python: str
    crane: str
    oras: str
    regctl: str
    skopeo: str
    hauler: str
    key: Path
    unsynced: frozenset[str]

    @property
    def public(self) -> Path:
        """The public half of the key."""
        return self.key.with_suffix(".pub")

    def has(self, tool: str) -> bool:
        """Whether a tool takes part: all do but hauler, if it is not given."""
        return tool != "hauler" or bool(self.hauler)

    def no_sync(self, verb: str, task: Task) -> list[str]:
        """The option by which airgap, like the others, leaves it to the system to write to disk."""
        return ["--no-sync"] if verb in self.unsynced and not task.sync else []


@dataclass(frozen=True, slots=True)
class Task:
    """What one run is to do.

    Attributes:
        registry: `127.0.0.1:PORT`, where images come from or go to.
        images: Repositories with tags there.
        source: What a preparation made, for jobs that start from it.
        output: An empty folder for everything that is written.
        sync: The run ends only when all is on disk.
    """

    registry: str
    images: Sequence[str]
    source: Path
    output: Path
    sync: bool = False

    @property
    def references(self) -> list[str]:
        """The images with their registry."""
        return [f"{self.registry}/{image}" for image in self.images]


Commands = Callable[[Programs, Task], list[Command]]
"""Makes the commands of a run, and the lists of images that they read."""


@dataclass(frozen=True, slots=True)
class Contender:
    """How one tool does one job.

    Attributes:
        tool: Its name.
        does: What people type, for the table.
        commands: The same for real.
        prepare: Makes what it starts from; None if that is the registry.
        sampled: Of many images it is given `SAMPLE`, and its times are multiplied.
        for_one: It is used for a single image.
        for_many: It is used for many images.
    """

    tool: str
    does: str
    commands: Commands
    prepare: Commands | None = None
    sampled: bool = False
    for_one: bool = True
    for_many: bool = True


def airgap_bundle(programs: Programs, task: Task) -> list[Command]:
    """A signed bundle of all images."""
    command = [programs.airgap, "bundle", *task.references, "--no-roles", "--all-platforms"]
    command += ["--name", "bench", "--key", str(programs.key), "-o", str(task.output / "bundle")]
    return [command + programs.no_sync("bundle", task)]


def airgap_verify(programs: Programs, task: Task) -> list[Command]:
    """The signature, every byte, and what the images consist of."""
    return [[programs.airgap, "verify", task.source / "bundle", "--trust", programs.public]]


def airgap_seed(programs: Programs, task: Task) -> list[Command]:
    """`airgap install --only seed`, see `benchmarks.seed`."""
    command = [programs.python, "-m", "benchmarks.seed", "--root", str(task.output / "root")]
    command += ["install", str(task.source / "bundle"), "--trust", str(programs.public)]
    return [[*command, "--only", "seed", *programs.no_sync("install", task)]]


def sha256sum(_: Programs, task: Task) -> list[Command]:
    """The bundle's checksums, by coreutils."""
    return [["env", "-C", task.source / "bundle", "sha256sum", "--quiet", "-c", "SHA256SUMS"]]


def crane_pull(programs: Programs, task: Task) -> list[Command]:
    """One OCI layout of all images."""
    return [[programs.crane, "pull", "--format=oci", *task.references, task.output / "layout"]]


def crane_layouts(programs: Programs, task: Task) -> list[Command]:
    """An OCI layout for each image, as `crane push` takes them."""
    return [
        [programs.crane, "pull", "--format=oci", reference, task.output / f"{number}"]
        for number, reference in enumerate(task.references)
    ]


def crane_push(programs: Programs, task: Task) -> list[Command]:
    """From a layout for each image."""
    return [
        [programs.crane, "push", task.source / f"{number}", reference]
        for number, reference in enumerate(task.references)
    ]


def oras_pull(programs: Programs, task: Task) -> list[Command]:
    """One OCI layout of all images."""
    copy = [programs.oras, "cp", "--from-plain-http", "--to-oci-layout"]
    return [
        [*copy, reference, f"{task.output}/layout:{number}"]
        for number, reference in enumerate(task.references)
    ]


def oras_push(programs: Programs, task: Task) -> list[Command]:
    """From a layout for each image."""
    copy = [programs.oras, "cp", "--from-oci-layout", "--to-plain-http"]
    return [
        [*copy, f"{layout}@{_only_digest(layout)}", reference]
        for layout, reference in _layouts(task)
    ]


def regctl_export(programs: Programs, task: Task) -> list[Command]:
    """A tar for each image."""
    return [
        [*_regctl(programs, task, "export"), reference, task.output / f"{number}.tar"]
        for number, reference in enumerate(task.references)
    ]


def regctl_import(programs: Programs, task: Task) -> list[Command]:
    """From a tar for each image."""
    return [
        [*_regctl(programs, task, "import"), reference, task.source / f"{number}.tar"]
        for number, reference in enumerate(task.references)
    ]


def skopeo_archive(programs: Programs, task: Task) -> list[Command]:
    """A tar for each image."""
    copy = [programs.skopeo, "copy", "--all", "--src-tls-verify=false"]
    return [
        [*copy, f"docker://{reference}", f"oci-archive:{task.output}/{number}.tar:1"]
        for number, reference in enumerate(task.references)
    ]


def skopeo_push(programs: Programs, task: Task) -> list[Command]:
    """From a layout for each image."""
    copy = [programs.skopeo, "copy", "--all", "--dest-tls-verify=false"]
    return [
        [*copy, f"oci:{layout}", f"docker://{reference}"] for layout, reference in _layouts(task)
    ]


def skopeo_sync(programs: Programs, task: Task) -> list[Command]:
    """A folder for each image, from one list."""
    tags = {repository: [tag] for repository, tag in (image.split(":") for image in task.images)}
    spec = task.output / "images.yaml"
    spec.write_text(json.dumps({task.registry: {"tls-verify": False, "images": tags}}))
    folder = task.output / "images"
    folder.mkdir()
    return [[programs.skopeo, "sync", "--all", "--src=yaml", "--dest=dir", spec, folder]]


def skopeo_sync_push(programs: Programs, task: Task) -> list[Command]:
    """From the folders of `skopeo_sync`."""
    sync = [programs.skopeo, "sync", "--all", "--src=dir", "--dest=docker"]
    return [[*sync, "--dest-tls-verify=false", task.source / "images", f"{task.registry}/bench"]]


def hauler_bundle(programs: Programs, task: Task) -> list[Command]:
    """A store of all images, and an archive of the store."""
    names, store = task.output / "images.txt", task.output / "store"
    names.write_text("".join(f"{reference}\n" for reference in task.references))
    hauler = [programs.hauler, "store"]
    sync = ["--image-txt", str(names), "--exclude-extras", "--no-progress"]
    return [
        [*hauler, "sync", "--store", store, *sync],
        [*hauler, "save", "--store", store, "--filename", task.output / "haul.tar.zst"],
    ]


def hauler_install(programs: Programs, task: Task) -> list[Command]:
    """From the archive into a store, and from there into the registry."""
    store, haul = task.output / "store", task.source / "haul.tar.zst"
    hauler = [programs.hauler, "store"]
    return [
        [*hauler, "load", "--store", store, "--filename", haul],
        [*hauler, "copy", "--store", store, "--plain-http", f"registry://{task.registry}"],
    ]


def _regctl(programs: Programs, task: Task, verb: str) -> list[str]:
    return [programs.regctl, "image", verb, "--host", f"reg={task.registry},tls=disabled"]


def _layouts(task: Task) -> list[tuple[Path, str]]:
    """The folders of `crane_layouts`, each with the image's reference."""
    return [
        (task.source / f"{number}", reference) for number, reference in enumerate(task.references)
    ]


def _only_digest(layout: Path) -> str:
    """The digest of the only image that an OCI layout holds."""
    (image,) = json.loads((layout / "index.json").read_bytes())["manifests"]
    return str(image["digest"])
