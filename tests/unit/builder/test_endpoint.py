"""Which Docker is meant, in every way in which one can be named."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import socketserver
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from airgap.builder.endpoint import Endpoint, docker_endpoint
from airgap.builder.engine import Engine
from airgap.errors import HostError

OWN = "unix:///var/run/docker.sock"
REMOTE = "tcp://127.0.0.1:9"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Docker's configuration, with the context `remote`, which is not selected."""
    folder = tmp_path / "docker"
    make_context(folder, "remote", REMOTE)
    return folder


def make_context(folder: Path, name: str, host: str) -> Path:
    """As `docker context create` does."""
    path = folder / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest() / "meta.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"Name": name, "Endpoints": {"docker": {"Host": host}}}))
    return path


def found(folder: Path, **variables: str) -> Endpoint:
    return docker_endpoint({"DOCKER_CONFIG": str(folder), **variables})


def use(folder: Path, config: str) -> None:
    (folder / "config.json").write_text(config)


@pytest.mark.parametrize(
    ("variables", "address"),
    [
        ({}, REMOTE),
        ({"DOCKER_HOST": ""}, REMOTE),
        ({"DOCKER_CONTEXT": ""}, REMOTE),
        ({"DOCKER_CONTEXT": "default"}, OWN),
        ({"DOCKER_HOST": " "}, OWN),
        ({"DOCKER_HOST": "unix://"}, OWN),
        ({"DOCKER_HOST": "unix:///run/x.sock"}, "unix:///run/x.sock"),
        ({"DOCKER_HOST": "unix:///run/x.sock", "DOCKER_CONTEXT": "remote"}, "unix:///run/x.sock"),
        ({"DOCKER_HOST": "10.0.0.1:2375"}, "tcp://10.0.0.1:2375"),
        ({"DOCKER_HOST": "ssh://ann@far"}, "ssh://ann@far"),
    ],
)
def test_what_the_docker_command_goes_by_first_counts(
    folder: Path, variables: Mapping[str, str], address: str
) -> None:
    use(folder, '{"currentContext": "remote"}')
    assert found(folder, **variables).address == address


@pytest.mark.parametrize(
    ("config", "address"),
    [
        ("", OWN),
        (" \n", OWN),
        ("null", OWN),
        ("[]", OWN),
        ("{", OWN),
        ('{"currentContext": ""}', OWN),
        ('{"currentContext": 1}', OWN),
        ('{"currentContext": "default"}', OWN),
        ('{"CURRENTCONTEXT": "remote"}', REMOTE),
        ('{"currentContext": "remote"} trailing', REMOTE),
        ('{"auths": [], "currentContext": "remote"}', REMOTE),
        ('\ufeff{"currentContext": "remote"}', OWN),
        ("[" * 100_000, OWN),
        ('{"currentContext": "remote", "currentContext": null}', REMOTE),
        ('{"currentContext": "remote", "CURRENTCONTEXT": null}', REMOTE),
        ('{"currentContext": "remote", "psFormat": NaN}', OWN),
    ],
)
def test_a_configuration_is_read_as_the_docker_command_reads_it(
    folder: Path, config: str, address: str
) -> None:
    use(folder, config)
    assert found(folder).address == address


def test_the_home_is_where_a_configuration_is_looked_for(tmp_path: Path) -> None:
    make_context(tmp_path / ".docker", "remote", REMOTE)
    use(tmp_path / ".docker", '{"currentContext": "remote"}')
    assert docker_endpoint({"HOME": str(tmp_path)}).address == REMOTE
    assert docker_endpoint({"HOME": str(tmp_path), "DOCKER_CONFIG": ""}).address == REMOTE
    assert docker_endpoint({"HOME": str(tmp_path), "DOCKER_CONFIG": "/none"}).address == OWN


@pytest.mark.parametrize("variable", ["DOCKER_TLS_VERIFY", "DOCKER_TLS"])
def test_tls_alone_selects_the_port_and_not_the_socket(folder: Path, variable: str) -> None:
    tls = {variable: "0"}  # the docker command looks whether it is set, not to what
    assert found(folder, **tls).address == "tcp://localhost:2376"
    assert found(folder, **tls, DOCKER_HOST=" ").address == "tcp://localhost:2376"
    assert found(folder, **tls, DOCKER_HOST=OWN).address == OWN
    assert found(folder, **tls, DOCKER_CONTEXT="remote").address == REMOTE
    assert found(folder, **{variable: ""}).address == OWN
    with pytest.raises(HostError, match=variable):
        _ = found(folder, **tls).socket


@pytest.mark.parametrize(
    "endpoints",
    [
        '"Endpoints": {"docker": {"host": "%s"}}',
        '"endpoints": {"docker": {"HOST": "%s"}}',
        '"Endpoints": {"docker": {"Host": "%s", "Host": null}}',
    ],
)
def test_a_context_is_read_as_the_docker_command_reads_it(folder: Path, endpoints: str) -> None:
    make_context(folder, "odd", "").write_text("{" + endpoints % REMOTE + "}")
    assert found(folder, DOCKER_CONTEXT="odd").address == REMOTE


def test_a_context_whose_name_is_no_text_is_not_there(folder: Path) -> None:
    use(folder, '{"currentContext": "\\ud800"}')
    with pytest.raises(HostError, match="is not there"):
        found(folder)
    with pytest.raises(HostError, match="is not there"):
        found(folder, DOCKER_CONTEXT=os.fsdecode(b"\xff"))


def test_a_context_without_a_host_is_this_hosts_docker(folder: Path) -> None:
    make_context(folder, "plain", "")
    assert found(folder, DOCKER_CONTEXT="plain").address == OWN


@pytest.mark.parametrize(
    "meta", [None, "", "[]", "{}", '{"Endpoints": {"docker": 1}}', "\udcff", "[" * 100_000]
)
def test_a_context_that_is_not_there_or_broken_is_named(folder: Path, meta: str | None) -> None:
    if meta is not None:
        path = make_context(folder, "gone", REMOTE)
        path.write_text(meta, errors="surrogateescape")
    with pytest.raises(HostError, match="the context 'gone'") as caught:
        found(folder, DOCKER_CONTEXT="gone")
    assert "unset DOCKER_CONTEXT" in caught.value.remedy


@pytest.mark.parametrize(
    "host", [REMOTE, "ssh://ann@far", "npipe:////./pipe/docker", "fd://", "10.0.0.1", "UNIX:///x"]
)
@pytest.mark.parametrize("way", ["DOCKER_HOST", "DOCKER_CONTEXT", "use"])
def test_the_docker_of_another_host_is_refused_by_its_name_and_never_asked(
    folder: Path, monkeypatch: pytest.MonkeyPatch, host: str, way: str
) -> None:
    make_context(folder, "far", host)
    for variable in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    if way == "use":
        use(folder, '{"currentContext": "far"}')
    else:
        monkeypatch.setenv(way, host if way == "DOCKER_HOST" else "far")
    engine = Engine(Path("test"))
    for ask in (engine.check, engine.version, engine.bridge_gateway):
        with pytest.raises(HostError, match="names the Docker of another host") as caught:
            ask()
        assert ("DOCKER_HOST" if way == "DOCKER_HOST" else "'far'") in caught.value.message
        assert "run airgap on that host" in caught.value.remedy


@pytest.mark.filterwarnings("ignore:Exception ignored:pytest.PytestUnraisableExceptionWarning")
def test_a_context_that_does_not_answer_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    make_context(folder, "stopped", f"unix://{tmp_path}/none.sock")
    use(folder, '{"currentContext": "stopped"}')
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.delenv("DOCKER_CONTEXT", raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    with pytest.raises(HostError, match="the context 'stopped'") as caught:
        Engine(Path("test")).check()
    assert "docker context use default" in caught.value.remedy
    del caught
    gc.collect()  # docker-py leaves a socket open that it could not connect


class _Docker(BaseHTTPRequestHandler):
    """A Docker, as far as it is asked who it is; its memory is what the server has."""

    def do_GET(self) -> None:
        memory = self.server.memory  # type: ignore[attr-defined]
        body = json.dumps({"ApiVersion": "1.44", "MemTotal": memory, "ID": "x"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.mark.parametrize("more", [0, 4096])
def test_a_socket_that_leads_to_another_machine_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: int
) -> None:
    own = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    with socketserver.UnixStreamServer(f"{tmp_path}/docker.sock", _Docker) as server:
        server.memory = own + more  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        engine = Engine(Path("test"))
        try:
            if more:
                with pytest.raises(HostError, match="names the Docker of another host"):
                    engine.check()
            else:
                engine.check()
        finally:
            engine._client.close()
            server.shutdown()
            thread.join()
