"""What `verify`, `inspect` and `status` say of recordings."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from airgap.bundle.media import Media
from airgap.bundle.verify import read_signed
from airgap.cli.main import run
from airgap.errors import ExitCode
from airgap.isolated.state.layout import State
from airgap.isolated.state.receipts import write_receipt
from airgap.trust.keys import PrivateKey
from tests import forge
from tests.contract import parse_json
from tests.forge import make_bundle, new_key

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def key() -> PrivateKey:
    return new_key()


@pytest.fixture
def airgap(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs the command: exit status, output, errors."""

    def command(*arguments: str | Path) -> tuple[int, str, str]:
        code = run(["--root", str(tmp_path / "state"), *map(str, arguments)])
        shown = capsys.readouterr()
        return int(code), shown.out, shown.err

    return command


@pytest.fixture
def bundle(tmp_path: Path, key: PrivateKey) -> Path:
    until = "2026-02-01T00:00:00Z"
    recordings = [forge.recorded("app", until=until), forge.recorded("lib", {})]
    make_bundle(tmp_path / "bundle", key, images=[], recordings=recordings)
    (tmp_path / "site.pub").write_bytes(key.public.pem())
    return tmp_path / "bundle"


def test_inspect_shows_them(airgap: Run, bundle: Path) -> None:
    code, out, _ = airgap("inspect", bundle)
    assert code == ExitCode.DONE
    digest = forge.recorded("app").entry.digest[:19]
    assert f"app        linux/amd64  2026-02-01T00:00:00Z    {digest}\n" in out
    assert "lib        linux/amd64  -    " in out
    _, out, _ = airgap("inspect", bundle, "--json")
    assert [recording["name"] for recording in parse_json("inspect", out)["recordings"]] == [
        "app",
        "lib",
    ]


def test_inspect_does_not_speak_of_them_where_there_are_none(
    airgap: Run, tmp_path: Path, key: PrivateKey
) -> None:
    make_bundle(tmp_path / "plain", key)
    _, out, _ = airgap("inspect", tmp_path / "plain")
    assert "RECORDING" not in out


def test_verify_reads_their_maps(airgap: Run, bundle: Path, key: PrivateKey) -> None:
    trust = ("--trust", bundle.parent / "site.pub")
    assert airgap("verify", bundle, *trust)[0] == ExitCode.DONE
    odd = forge.recorded_map("app", [forge.response("https://x.example/", b"x")], [])
    make_bundle(bundle, key, images=[], recordings=[odd])
    code, _, err = airgap("verify", bundle, *trust)
    assert code == ExitCode.INTEGRITY
    assert "app needs sha256:" in err


def test_status_names_them_and_what_is_missing(
    airgap: Run, bundle: Path, tmp_path: Path, key: PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An address that is not one: at one where nothing is, Docker's client leaves a socket behind.
    monkeypatch.setenv("DOCKER_HOST", "none://")
    signed = read_signed(Media([bundle]), [key.public])
    for action in ("begun", "installed"):
        write_receipt(State(tmp_path / "state"), action, signed)
    code, out, _ = airgap("status", "--json")
    assert code == ExitCode.HOST
    document = parse_json("status", out)
    app, lib = signed.contents.recordings
    (receipt,) = document["bundles"]
    assert receipt["bundle"] == signed.contents.identity
    origin = {"bundle": receipt["bundle"], "since": receipt["at"]}
    assert document["recordings"] == json.loads(
        json.dumps({"app": {**asdict(app), **origin}, "lib": {**asdict(lib), **origin}})
    )
    assert document["steps"]["recordings"]["ok"] is False
    assert f"replay lacks {app.digest}" in document["steps"]["recordings"]["detail"]
