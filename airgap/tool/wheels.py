"""The wheels that the tool is made of: locked by hash, kept in a cache, fetched by pip.

`requirements.txt` beside this file is pip's own format and holds the hash of every wheel that may
be used; `scripts/lock-tool` writes it. pip fetches, as a subprocess, so that the user's own index,
mirror and proxy settings count. Nothing of a wheel is believed but its hash.
"""

from __future__ import annotations

import hashlib
import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

from airgap import processes
from airgap.errors import HostError, UpstreamError
from airgap.oci.platform import Platform
from airgap.progress import Progress

# The oldest glibc that the wheels run on (PEP 600); the two tags after it are older and fit too.
GLIBC = "2.28"
# How pip's warnings tell that a connection failed, with urllib3's reason in it.
_NO_CONNECTION = re.compile(r"connection broken by '.*?(?:\[Errno [-\d]+\] |: )([^:'\[\])]+)'?\)*'")
_PLATFORM_TAGS = ("manylinux_2_28", "manylinux_2_17", "manylinux2014")


@dataclass(frozen=True, slots=True)
class Requirement:
    """One line of the lock: `name`, `version`, and the SHA-256 of each wheel that may be used."""

    name: str
    version: str
    hashes: frozenset[str]

    def __str__(self) -> str:
        """Return the line as pip reads it."""
        hashes = "".join(f" --hash=sha256:{digest}" for digest in sorted(self.hashes))
        return f"{self.name}=={self.version}{hashes}"


@dataclass(frozen=True, slots=True)
class Wheel:
    """One wheel: its file name, which says where it fits (PEP 427), and its bytes."""

    file_name: str
    data: bytes

    def fits(self, platform: Platform, python: str) -> bool:
        """Return whether it can be used by CPython `python`, such as `3.11`, on `platform`."""
        abi, systems = self.file_name.removesuffix(".whl").split("-")[-2:]
        return abi in ("none", "abi3", _cpython(python)) and (
            systems == "any" or systems.endswith(f"_{platform.machine}")
        )


def read_requirements() -> list[Requirement]:
    """Return the lock that this version of airgap carries."""
    text = resources.files("airgap.tool").joinpath("requirements.txt").read_text("utf-8")
    lines = text.replace("\\\n", " ").splitlines()
    requirements = []
    for line in lines:
        if pin := re.match(r"([\w.-]+)==(\S+) ", line):
            hashes = re.findall(r"--hash=sha256:([0-9a-f]{64})", line)
            requirements.append(Requirement(pin[1], pin[2], frozenset(hashes)))
    return requirements


def collect_wheels(
    platform: Platform, pythons: Sequence[str], cache: Path, progress: Progress
) -> list[Wheel]:
    """Return the wheels for all `pythons` on `platform`, from `cache`, or else fetched into it.

    Raises:
        UpstreamError: the package index cannot be reached, or does not have the wheels of the lock.
        HostError: wheels are missing and there is no pip.
    """
    requirements = read_requirements()
    wheels = {}
    for python in pythons:
        missing = [r for r in requirements if find_wheel(r, platform, python, cache) is None]
        if missing:
            progress.message(f"Fetching the tool's parts for {platform}, Python {python}")
            fetch_wheels(missing, platform, python, cache)
        for requirement in requirements:
            wheel = find_wheel(requirement, platform, python, cache)
            if wheel is None:
                raise UpstreamError(
                    f"{requirement.name} {requirement.version} for {platform}, Python {python}, "
                    f"was fetched but is not in {cache}",
                    remedy="run this again",
                )
            wheels[wheel.file_name] = wheel
    return [wheels[name] for name in sorted(wheels)]


def find_wheel(
    requirement: Requirement, platform: Platform, python: str, cache: Path
) -> Wheel | None:
    """Return the wheel in `cache` that fits and whose hash is in the lock, if there is one."""
    name = requirement.name.replace("-", "_")
    for path in sorted(cache.glob(f"{name}-{requirement.version}-*.whl")):
        wheel = Wheel(path.name, path.read_bytes())
        digest = hashlib.sha256(wheel.data).hexdigest()
        if digest in requirement.hashes and wheel.fits(platform, python):
            return wheel
    return None


def fetch_wheels(
    requirements: Sequence[Requirement], platform: Platform, python: str, cache: Path
) -> None:
    """Have pip fetch wheels into `cache`.

    Raises:
        UpstreamError: pip could not.
        HostError: there is no pip.
    """
    if find_spec("pip") is None:
        raise HostError(
            "the tool's parts are not in the cache and this Python has no pip to fetch them",
            meaning=f"every bundle carries airgap's own dependencies; they are kept in {cache}",
            remedy="install pip for this Python, or run airgap from its own virtual environment",
        )
    cache.mkdir(parents=True, exist_ok=True)
    # Below the cache, so that finished wheels are moved and never half there.
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        lock = Path(folder, "requirements.txt")
        lock.write_text("".join(f"{requirement}\n" for requirement in requirements))
        command = [*pip_download(platform, python), "--no-deps", "--require-hashes"]
        command += ["--dest", folder, "--requirement", str(lock)]
        pip = processes.run(command, capture_output=True, text=True, check=False)
        if pip.returncode != 0:
            raise UpstreamError(
                f"the tool's parts could not be fetched: {_reason(pip.stderr)}",
                meaning="every bundle carries airgap's own dependencies, from a package index; "
                f"once fetched they are kept in {cache}",
                remedy="connect to the index, or set yours with `pip config`, and run this again",
            )
        for wheel in Path(folder).glob("*.whl"):
            wheel.replace(cache / wheel.name)


def pip_download(platform: Platform, python: str) -> list[str]:
    """Return the start of a command that fetches wheels for another platform and Python."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input"]
    command += ["--disable-pip-version-check", "--only-binary=:all:"]
    for tag in _PLATFORM_TAGS:
        command += ["--platform", f"{tag}_{platform.machine}"]
    command += ["--python-version", python, "--implementation", "cp"]
    for abi in (_cpython(python), "abi3", "none"):
        command += ["--abi", abi]
    return command


def _cpython(python: str) -> str:
    """`cp311` for `3.11`."""
    return "cp" + python.replace(".", "")


def _reason(stderr: str) -> str:
    """Return why pip failed: how a connection failed, or else what pip said last.

    pip says last that no version matches, also where it reached no index at all.
    """
    lines = stderr.strip().splitlines()
    failed = [match[1] for line in lines if (match := _NO_CONNECTION.search(line))]
    return (failed or lines or ["pip said nothing"])[-1].removeprefix("ERROR: ")
