"""Three bundles in a row, back one, free what is not needed, and forward again."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from airgap import __version__
from airgap.canonical import format_time
from airgap.errors import ExitCode
from lab import full_run, images
from lab.host import IsolatedHost
from lab.parts import program
from lab.run import run
from lab.upstream import Upstream
from tests import forge
from tests.contract import parse_json
from tests.e2e.conftest import Carried, visit

SITE = "docker.io/site/a:1"
BUILDKIT = "docker.io/moby/buildkit:buildx-stable-1"
MIRROR = "127.0.0.1:5001"
APP = "127.0.0.1:5000/site/app"

Bring = Callable[[int], str]


@pytest.fixture(scope="module")
def host(carried: Carried, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IsolatedHost]:
    """Has the first bundle installed, and what people pushed; two more bundles lie in /srv."""
    folder = tmp_path_factory.mktemp("bundles")
    with IsolatedHost() as host:
        host.check_isolated()
        visit(host, carried)
        full_run.install(host)
        host.run(
            [
                *_crane(host, "copy", "--platform", "linux/amd64"),
                f"{MIRROR}/docker.io/library/alpine",
                APP,
            ]
        )
        for serial in (1, 2):
            _bundle(folder / str(serial), carried.key, serial)
            shutil.copytree(folder / str(serial), host.path(f"/srv/{serial}"))
        yield host


def _bundle(folder: Path, key: Path, serial: int) -> None:
    """One with another BuildKit each, and an image whose tag moves."""
    with Upstream(images.storage(), writable=True) as upstream:
        there = f"{upstream.address}/{BUILDKIT}"
        label = ["--label", f"serial={serial}"]
        mutate = ["mutate", "--insecure", "--platform", "linux/amd64", there, *label, "-t", there]
        run([program("crane"), *mutate])
        site = f"{upstream.address}/{SITE}"
        source = f"{upstream.address}/docker.io/library/busybox"
        run([program("crane"), "mutate", "--insecure", source, *label, "-t", site])
        spec = folder.with_suffix(".toml")
        spec.write_text(f'name = "site"\n[[images]]\nname = "{SITE}"\n')
        full_run.make_bundle(upstream, key, folder, [spec])


def _crane(host: IsolatedHost, *arguments: str) -> list[str]:
    if not host.path("/usr/local/bin/crane").exists():
        shutil.copy2(program("crane"), host.path("/usr/local/bin/crane"))
    return ["crane", *arguments, "--insecure"]


def _digest(host: IsolatedHost, name: str) -> str:
    done = host.run([*_crane(host, "digest"), f"{MIRROR}/{name}"], check=False)
    return done.stdout.strip()


def _builder(host: IsolatedHost) -> str:
    """The label of the BuildKit that runs."""
    labels = '{{index .Config.Labels "serial"}}'
    return host.run(["docker", "inspect", "--format", labels, "airgap-buildkitd"]).stdout.strip()


def _size(host: IsolatedHost) -> int:
    return sum(path.stat().st_size for path in host.path("/var/lib/airgap/mirror").rglob("data"))


def test_bundles_in_a_row_back_one_prune_and_forward(host: IsolatedHost) -> None:
    first = _digest(host, BUILDKIT)
    states: list[tuple[str, str]] = []
    for serial in (1, 2):
        if serial == 1:
            assert "installed: site" in host.run(["airgap", "install", "/srv/1"]).stdout
        else:
            _an_upgrade_that_failed_is_what_is_rolled_back(host, states[0])
            _an_upgrade_that_failed_is_finished_by_doctor(host)
        assert _builder(host) == str(serial)
        states.append((_digest(host, SITE), _digest(host, BUILDKIT)))
    assert len({first, states[0][1], states[1][1]}) == 3

    said = host.run(["airgap", "rollback"]).stdout
    assert "rolled back: from site-" in said
    assert _builder(host) == "1"
    assert (_digest(host, SITE), _digest(host, BUILDKIT)) == states[0]
    host.run(["airgap", "status"])

    before = _size(host)
    planned = parse_json("prune", host.run(["airgap", "prune", "--dry-run", "--json"]).stdout)
    assert _size(host) == before
    freed = parse_json("prune", host.run(["airgap", "prune", "--json"]).stdout)
    assert freed == planned
    assert freed["bytes"] == before - _size(host) > 0
    assert freed["bundles"] == []
    host.run(["airgap", "status"])
    assert _digest(host, f"{SITE.partition(':')[0]}@{states[1][0]}") == ""

    assert "installed: site" in host.run(["airgap", "install", "/srv/2"]).stdout
    assert _builder(host) == "2"
    assert (_digest(host, SITE), _digest(host, BUILDKIT)) == states[1]
    freed = parse_json("prune", host.run(["airgap", "prune", "--keep", "1", "--json"]).stdout)
    assert len(freed["bundles"]) == 1
    host.run(["airgap", "status"])
    _the_log_tells_all_of_it(host)
    host.run([*_crane(host, "validate"), "--remote", APP])


def _an_upgrade_that_failed_is_what_is_rolled_back(
    host: IsolatedHost, before: tuple[str, str]
) -> None:
    _fail(host)
    moved = _digest(host, SITE)
    assert moved not in ("", before[0])
    planned = parse_json("prune", host.run(["airgap", "prune", "--dry-run", "--json"]).stdout)
    assert planned["bundles"] == []
    host.run(["airgap", "prune"])
    assert _digest(host, SITE) == moved

    said = host.run(["airgap", "rollback"]).stdout
    _, undone, _, left = said.splitlines()[-1].rsplit(maxsplit=3)
    assert undone != left
    assert (_digest(host, SITE), _digest(host, BUILDKIT)) == before
    assert _builder(host) == "1"
    host.run(["airgap", "status"])


def _fail(host: IsolatedHost) -> None:
    """An upgrade that has moved tags already."""
    config = host.path("/var/lib/airgap/config/airgap-buildkitd.toml")
    config.unlink()
    config.mkdir()
    failed = host.run(["airgap", "install", "/srv/2"], check=False)
    assert failed.returncode == ExitCode.HOST
    config.rmdir()


def _an_upgrade_that_failed_is_finished_by_doctor(host: IsolatedHost) -> None:
    _fail(host)
    found = host.run(["airgap", "doctor"], check=False)
    assert found.returncode == ExitCode.HOST
    assert "was not finished" in found.stdout
    assert "airgap rollback" in found.stderr
    fixed = host.run(["airgap", "doctor", "--fix"]).stdout
    assert "fixed receipts: the install of site-" in fixed
    assert "nothing to change" in host.run(["airgap", "install", "/srv/2"]).stdout


def _the_log_tells_all_of_it(host: IsolatedHost) -> None:
    record = parse_json("log", host.run(["airgap", "log", "--json"]).stdout)
    actions = [(one["action"], one["bundle"].rpartition("-")[0]) for one in record]
    installed = [("begun", "site"), ("installed", "site")]
    assert actions[2:] == [
        *installed,
        ("begun", "site"),
        ("rolled back", "site"),
        *installed,
        ("rolled back", "site"),
        *installed,
        ("dropped", "site"),
    ]
    assert all(one["signers"] for one in record)


def test_a_tool_that_is_not_one_and_a_bundle_that_is_the_only_one(
    fresh_host: Callable[..., IsolatedHost],
) -> None:
    host, key = fresh_host(), forge.new_key()
    forge.make_bundle(host.path("/srv/bundle"), key, images=[forge.indexed(SITE)])
    host.path("/srv/other.pub").write_bytes(key.public.pem())
    install = [*full_run.TOOL, "install", "/srv/bundle", "--trust", "/srv/other.pub", "--only"]
    done = host.run([*install, "tool"], check=False)
    assert done.returncode == ExitCode.INTEGRITY
    assert "tool/airgap.pyz is not airgap" in done.stderr
    host.run([*install, "seed"])
    done = host.run([*full_run.TOOL, "rollback"], check=False)
    assert done.returncode == ExitCode.HOST
    assert "small-1 is the only bundle of this host" in done.stderr


def test_the_tool_of_another_bundle_stays_and_stops_nothing(host: IsolatedHost) -> None:
    """The same version in other bytes, as two workstations may build it."""
    program, key = host.path("/usr/local/lib/airgap/current/airgap.pyz"), forge.new_key()
    other = host.path("/srv/other.pyz")
    shutil.copy2(program, other)
    with zipfile.ZipFile(other, "a") as file:
        file.comment = b"another"
    images = [forge.indexed("docker.io/site/other:1")]
    tool = other.read_bytes()
    forge.make_bundle(
        host.path("/srv/other"),
        key,
        images=images,
        name="other",
        created=format_time(datetime.now(UTC)),  # an older bundle would not replace it
        tool=tool,
        version=__version__,
    )
    host.path("/srv/other.pub").write_bytes(key.public.pem())
    host.run(["airgap", "install", "/srv/other", "--trust", "/srv/other.pub"])
    assert program.read_bytes() == tool
    host.run(["airgap", "status"])
    host.run(["airgap", "rollback"])
    assert program.read_bytes() == tool
    host.run(["airgap", "doctor", "--fix"])
    with program.open("ab") as file:
        file.write(b"changed")
    done = host.run(["airgap", "status"], check=False)
    assert done.returncode == ExitCode.HOST
    program.write_bytes(tool)


def test_a_changed_receipt_is_named(host: IsolatedHost) -> None:
    receipt = host.path("/var/lib/airgap/receipts/000002.json")
    text = receipt.read_text()
    receipt.write_text(text.replace("installed", "uninstalled"))
    done = host.run(["airgap", "log"], check=False)
    receipt.write_text(text)
    assert done.returncode == ExitCode.TRUST
    assert "000003.json" in done.stderr
