"""Platforms match, and are preferred, exactly as containerd's own code says."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import product

from airgap.oci.platform import Platform, preference
from lab.parts import program
from lab.run import run

_MACHINES = {
    "amd64": ("", "v1", "v2", "v3", "v4", "V3", "2", "v0", "vx"),
    "x86_64": ("", "v1", "v3"),
    "x86-64": ("",),
    "386": ("", "sse2"),
    "i386": ("", "v1"),
    "arm": ("", "5", "6", "7", "8", "v4", "v5", "v6", "v7", "v8", "v9", "vx"),
    "armhf": ("", "v6"),
    "armel": ("", "v7"),
    "arm64": (
        *("", "8", "v8", "V8", "v8.0", "v8.1", "v8.5", "v8.9", "v8.10", "v08"),
        *("9", "9.0", "v9", "v9.0", "v9.2", "v9.7", "v9.8", "v7", "v10", "vx"),
    ),
    "aarch64": ("", "v8", "v9"),
    "AArch64": ("",),
    "riscv64": ("", "v1"),
    "ppc64le": ("", "power9"),
    "s390x": ("",),
    "unknown": ("",),
}
_VERSIONS = (
    *("", "10.0", "10.0.17763", "10.0.17763.1", "10.0.17763.9", "10.0.19041.1", "10.0.20348.1"),
    *("10.0.20348.9", "10.0.22621.1", "10.0.25398.1", "10.0.26100.1", "10.0.27000", "6.3.9600.1"),
    *("300.0.1", "10.0.99999", "x.y.z", "010.0.20348", "0.0.0.1", "10.1.20348"),
)
_FEATURES = ((), ("a",), ("b", "a"), ("a", "a", "b"), ("win32k",), ("a", "win32k"))


@dataclass(frozen=True, slots=True)
class _Stated:
    """A platform as a descriptor states it."""

    os: str
    architecture: str
    variant: str = ""
    version: str = ""
    features: tuple[str, ...] = ()

    @property
    def ours(self) -> Platform:
        return Platform.of(self.os, self.architecture, self.variant, self.version, self.features)

    @property
    def document(self) -> dict[str, object]:
        machine = {"os": self.os, "architecture": self.architecture, "variant": self.variant}
        return {**machine, "os.version": self.version, "os.features": self.features}


def _differences(platforms: list[_Stated]) -> list[str]:
    """Asks containerd about all pairs, and returns where airgap says something else."""
    pairs = list(product(range(len(platforms)), repeat=2))
    triples = [(one, two, (one + 3 * two + 1) % len(platforms)) for one, two in pairs]
    keys = ("wanted", "offered", "other")
    asked = [
        dict(zip(keys, (platforms[one].document for one in ones), strict=True)) for ones in triples
    ]
    answers = run([program("platforms")], stdin="\n".join(map(json.dumps, asked))).splitlines()
    wrong = []
    for ones, answer in zip(triples, answers, strict=True):
        found = json.loads(answer)
        wanted, offered, other = (platforms[one].ours for one in ones)
        rank, rival = preference(wanted, offered), preference(wanted, other)
        said = {"wanted": str(wanted), "offered": str(offered), "match": rank is not None}
        if rank is not None and rival is not None:
            said["before"] = (rank, -len(offered.os_features)) < (rival, -len(other.os_features))
        if said != {key: found[key] for key in said}:
            wrong.append(f"{[platforms[one] for one in ones]}: {said}, containerd: {found}")
    return wrong


def test_machines_match_as_in_containerd() -> None:
    systems = ("linux", "Linux", "", "darwin", "macOS", "unknown")
    machines = [(name, variant) for name, variants in _MACHINES.items() for variant in variants]
    table = [_Stated("linux", *machine) for machine in machines]
    table += [_Stated(os, name) for os in systems for name in ("amd64", "arm64")]
    assert _differences(table) == []


def test_versions_of_windows_match_as_in_containerd() -> None:
    table = [_Stated("windows", name, "", one) for name in ("amd64", "arm64") for one in _VERSIONS]
    table += [_Stated("Windows", "amd64", "", _VERSIONS[3]), _Stated("linux", "amd64", "", "5.4.1")]
    assert _differences(table) == []


def test_features_match_as_in_containerd() -> None:
    table = [
        _Stated(os, name, "", version, features)
        for os in ("linux", "windows")
        for name, version in (("amd64", ""), ("386", ""), ("amd64", "10.0.20348.1"))
        for features in _FEATURES
        if len(set(features)) == len(features)
    ]
    assert _differences(table) == []
