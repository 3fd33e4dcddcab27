"""Who may import whom, read from the source, so that imports inside functions count too."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import pytest

import airgap

# From the top down: each may import what stands below it, and nothing that stands beside it.
LAYERS = (
    ("airgap.cli",),
    ("airgap.views",),
    ("airgap.connected", "airgap.isolated"),
    ("airgap.offline",),
    ("airgap.tool",),
    ("airgap.builder",),
    ("airgap.log",),
    ("airgap.replay",),
    ("airgap.spec",),
    ("airgap.dockerfile",),
    ("airgap.store",),
    ("airgap.bundle",),
    ("airgap.trust",),
    ("airgap.oci",),
    ("airgap.progress",),
    ("airgap.disk",),
    ("airgap.docker_config",),
    ("airgap.bounded",),
    ("airgap.errors",),
    ("airgap.canonical",),
    ("airgap.printable",),
    ("airgap.limits",),
    ("airgap.ownership",),
    ("airgap.processes",),
    ("airgap.parallel",),
    ("airgap.schema",),
    ("airgap.waiting",),
    ("airgap.versions",),
    ("airgap",),
)
# Within a package, from the top down in the same way.
ROOMS = {
    "airgap.isolated": (
        "airgap.isolated.commands",
        "airgap.isolated.checks",
        "airgap.isolated.steps",
        "airgap.isolated.services",
        "airgap.isolated.context",
        "airgap.isolated.nodes",
        "airgap.isolated.state",
        "airgap.isolated.host",
    ),
}
# What can open a connection.
NETWORK = {"docker", "ftplib", "http", "requests", "smtplib", "socket", "ssl", "urllib3"}
# Docker's own socket, the registry on this host's loopback address, whether a port is free, and
# what builds ask instead of the Internet.
ALLOWED_ON_ISOLATED_HOSTS = {
    ("airgap.builder.engine", "docker"),
    ("airgap.builder.engine", "requests"),
    ("airgap.isolated.host.registry_probe", "requests"),
    ("airgap.oci.bounded_head", "http"),  # what it reads of that registry
    ("airgap.oci.bounded_head", "requests"),
    ("airgap.oci.bounded_head", "socket"),
    ("airgap.oci.bounded_head", "ssl"),
    ("airgap.oci.bounded_head", "urllib3"),
    ("airgap.isolated.host.addresses", "socket"),  # it listens
    ("airgap.isolated.checks.preconditions", "socket"),
    ("airgap.replay.connections", "socket"),  # of those who came
    ("airgap.replay.server", "http"),  # it listens
    ("airgap.replay.server", "socket"),
}

# The one way to another host: the registry that the operator named with `install --registry`.
NAMED_BY_THE_OPERATOR = {
    "airgap.isolated.services.site_registry",
    "airgap.isolated.services.image_pusher",
}

ROOT = Path(airgap.__file__).parent


def source_files() -> Iterator[tuple[str, Path]]:
    """Every module of the package, by its dotted name."""
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imported(tree: ast.AST) -> Iterator[str]:
    """The dotted names that a module imports, anywhere in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "write imports in full"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer_of(module: str) -> tuple[int, str]:
    """The number of a module's layer, and which part of that layer it is in."""
    for number, parts in enumerate(LAYERS):
        for part in parts:
            if module == part or (part != "airgap" and module.startswith(f"{part}.")):
                return number, part
    raise AssertionError(f"{module} is in no layer: add its package to LAYERS")


def room_of(module: str, rooms: Sequence[str]) -> int:
    """The number of the room that a module is in; of rooms in rooms, the innermost."""
    found = [room for room in rooms if module == room or module.startswith(f"{room}.")]
    assert found, f"{module} is in no room: add its package to ROOMS"
    return rooms.index(max(found, key=len))


def is_allowed(importer: str, target: str) -> bool:
    (upper, part), (lower, other) = layer_of(importer), layer_of(target)
    if part == other and part in ROOMS and target != part:
        return room_of(importer, ROOMS[part]) <= room_of(target, ROOMS[part])
    return upper < lower or part == other


MODULES = dict(source_files())
IMPORTS = {name: set(imported(ast.parse(path.read_text()))) for name, path in MODULES.items()}


def modules_imported_by(module: str) -> set[str]:
    """Modules of ours; of `from airgap.oci import manifest` that is the file, not the package."""
    names = {name for name in IMPORTS[module] if name.partition(".")[0] == "airgap"}
    return {name if name in MODULES else name.rpartition(".")[0] for name in names}


def reached_from(package: str, without: Collection[str] = ()) -> set[str]:
    """Modules of ours that are loaded when everything below `package` runs, but for some."""
    found: set[str] = set()
    waiting = {name for name in MODULES if name.startswith(f"{package}.")} - {*without}
    while waiting:
        found |= waiting
        targets = {target for name in waiting for target in modules_imported_by(name)}
        waiting = targets - found - {*without}
    return found


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_what_lies_below_it(module: str) -> None:
    assert [name for name in modules_imported_by(module) if not is_allowed(module, name)] == []


@pytest.mark.parametrize(
    ("importer", "target", "allowed"),
    [
        ("airgap.cli.main", "airgap", True),
        ("airgap.cli.bundle", "airgap.tool.build_pyz", True),
        ("airgap.bundle.verify", "airgap.bundle.media", True),
        ("airgap.bundle.contents", "airgap.spec.bundle_spec", False),
        ("airgap.oci.registry", "airgap.bundle.contents", False),
        ("airgap.connected.plan", "airgap.isolated.context", False),
        ("airgap.isolated.steps.load", "airgap.connected.plan", False),
        ("airgap.isolated.steps.tool", "airgap.tool.bootstrap", True),
        ("airgap.connected.rehearse", "airgap.offline.build", True),
        ("airgap.offline.build", "airgap.isolated.context", False),
        ("airgap.isolated.commands.doctor", "airgap.isolated.checks.environment", True),
        ("airgap.isolated.steps.load", "airgap.isolated.commands.install", False),
        ("airgap.isolated.host.user", "airgap.isolated.host.files", True),
        ("airgap.isolated.state.receipts", "airgap.isolated.context", False),
        ("airgap.tool.bootstrap", "airgap.cli.main", False),
        ("airgap", "airgap.errors", False),
    ],
)
def test_the_layers_are_what_they_are_meant_to_be(
    importer: str, target: str, allowed: bool
) -> None:
    assert is_allowed(importer, target) is allowed


def test_imports_inside_functions_and_under_type_checking_count() -> None:
    text = "import a.b\ndef f():\n  from c import d, e\nif x:\n  import g as h"
    assert set(imported(ast.parse(text))) == {"a.b", "c.d", "c.e", "g"}
    assert "airgap.connected.make_bundle" in modules_imported_by("airgap.cli.bundle")
    assert "airgap.oci.manifest" in modules_imported_by("airgap.connected.resolve")


def test_an_isolated_host_asks_no_other_host_but_a_registry_that_was_named() -> None:
    reached = reached_from("airgap.isolated", NAMED_BY_THE_OPERATOR)
    assert "airgap.oci.manifest" in reached  # the search does go beyond the package
    uses = {
        (module, top)
        for module in reached
        for name in IMPORTS[module]
        if (top := name.partition(".")[0]) in NETWORK or name.startswith("urllib.request")
    }
    assert uses <= ALLOWED_ON_ISOLATED_HOSTS
    clients = {"airgap.oci.registry", "airgap.oci.push_client", "airgap.oci.connection"}
    assert (clients | {"airgap.replay.recorder"}) & reached == set()
    assert clients <= reached_from("airgap.isolated")


def test_the_search_finds_the_registry_client_where_it_is_used() -> None:
    assert {"airgap.oci.registry", "airgap.oci.authorization"} <= reached_from("airgap.cli")


def test_the_version_is_printed_without_importing_what_is_slow() -> None:
    start = "sys.argv[1:] = ['--version']; from airgap.cli.start import main; main()"
    version, tops = _run_and_list_modules(start)
    assert version == [f"airgap, version {airgap.__version__}"]
    assert tops & {"airgap", "click"} == {"airgap"}


def test_help_is_printed_without_importing_what_is_slow() -> None:
    text, tops = _run_and_list_modules("from airgap.cli.main import run; run(['--help'])")
    assert "On the isolated host:" in text
    assert "click" in tops
    slow = {"cryptography", "docker", "jinja2", "logging", "pip", "requests", "tqdm", "urllib3"}
    assert tops & slow == set()


def _run_and_list_modules(code: str) -> tuple[list[str], set[str]]:
    """The lines that code printed, and the top-level modules that were imported then."""
    code = f"import sys; {code}; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    *lines, modules = result.stdout.splitlines()
    return lines, {name.partition(".")[0] for name in modules.split()}
