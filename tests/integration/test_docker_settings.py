"""Docker's settings are read as Docker's own programs read them, which are asked beside us."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from airgap.builder.endpoint import docker_endpoint
from airgap.errors import CredentialsError, HostError
from airgap.isolated.host import dockerd
from airgap.oci.credentials import Credential, Credentials
from lab.parts import program
from tests.integration.engine_root import EngineRoot

_ANN = base64.b64encode(b"ann:x").decode()
_HUB = "https://index.docker.io/v1/"


def _auths(key: str, **entry: object) -> str:
    return json.dumps({"auths": {key: entry or {"auth": _ANN}}})


CREDENTIALS = [
    *(
        (_auths(f"{scheme}{host}{path}"), host)
        for scheme in ("", "https://", "http://")
        for host in ("a.internal", "a.internal:5000")
        for path in ("", "/", "/v1/", "/some/path")
    ),
    *((_auths(key), "docker.io") for key in (_HUB, "registry-1.docker.io", "A.internal")),
    (_auths("a.internal", username="u", password="p"), "a.internal"),
    (_auths("a.internal", username="u", password="p", auth=_ANN), "a.internal"),
    (_auths("a.internal", USERNAME="u", Password="p"), "a.internal"),
    (_auths("a.internal", username="u"), "a.internal"),
    (_auths("a.internal", identitytoken="long"), "a.internal"),
    (_auths("a.internal", identitytoken="long", auth=_ANN), "a.internal"),
    (_auths("a.internal", auth="%"), "a.internal"),
    (_auths("a.internal", auth=f"{_ANN}\n"), "a.internal"),
    (_auths("a.internal", auth="OnA="), "a.internal"),
    (_auths("a.internal", auth=1), "a.internal"),
    ('{"auths": {"a.internal": null}}', "a.internal"),
    ('{"auths": null}', "a.internal"),
    ('{"auths": []}', "a.internal"),
    ("", "a.internal"),
    (" \n", "a.internal"),
    ("null", "a.internal"),
    ("[]", "a.internal"),
    ("{", "a.internal"),
    ("// no\n{}", "a.internal"),
    (f"{_auths('a.internal')} trailing", "a.internal"),
    (f"\ufeff{_auths('a.internal')}", "a.internal"),
    (
        f'{{"HttpHeaders": {{"X": "y"}}, "Auths": {{"a.internal": {{"Auth": "{_ANN}"}}}}}}',
        "a.internal",
    ),
    *(
        (json.dumps({"credsStore": helper, "auths": {"a.internal": {"auth": _ANN}}}), "a.internal")
        for helper in ("none", "empty", "locked", "token", "bob", "absent", "")
    ),
    ('{"credHelpers": {"a.internal": "bob"}, "credsStore": "token"}', "a.internal"),
    ('{"credHelpers": {"https://a.internal": "bob"}}', "a.internal"),
    (f'{{"credHelpers": {{"{_HUB}": "bob"}}}}', "docker.io"),
]

HELPERS = {
    "none": "echo credentials not found in native keychain; exit 1",
    "empty": "echo '{}'",
    "locked": "echo locked; exit 1",
    "token": """echo '{"Username": "<token>", "Secret": "long"}'""",
    "bob": """echo '{"Username": "bob", "Secret": "y"}'""",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of Docker's configuration, with helpers beside it."""
    for name, script in HELPERS.items():
        helper = tmp_path / f"docker-credential-{name}"
        helper.write_text(f"#!/bin/sh\nread -r server\n{script}\n")
        helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    for variable in ("DOCKER_AUTH_CONFIG", "DOCKER_CONTEXT", "DOCKER_HOST"):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path


def _of_crane(host: str) -> Credential | str | None:
    """What crane, which has Docker's own code, finds; `error` if it finds the file broken."""
    command = [str(program("crane")), "auth", "get", host]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return None if "credentials not found" in done.stdout + done.stderr else "error"
    found = json.loads(done.stdout)
    name, secret = found.get("Username", ""), found.get("Secret", "")
    return Credential("", "", secret) if name == "<token>" else Credential(name, secret)


def _ours(host: str) -> Credential | str | None:
    try:
        return Credentials().find(host)
    except CredentialsError:
        return "error"


@pytest.mark.parametrize(("config", "host"), CREDENTIALS)
def test_credentials_are_those_that_dockers_own_code_finds(
    folder: Path, config: str, host: str
) -> None:
    (folder / "config.json").write_text(config)
    assert _ours(host) == _of_crane(host)


@pytest.fixture(scope="module")
def root() -> Iterator[EngineRoot]:
    """A Debian with a docker command and a dockerd."""
    with EngineRoot("127.0.0.1:9") as root:
        yield root


CONTEXTS = """\
docker context create one --docker host=tcp://127.0.0.1:9 >/dev/null
docker context create two --docker host=unix:///run/two.sock >/dev/null
ask() {
    found=$(docker context inspect --format '{{.Endpoints.docker.Host}}' 2>/dev/null) || found=error
    echo "$found"
}
"""
CHOICES: list[Mapping[str, str]] = [
    {"DOCKER_HOST": host, "DOCKER_CONTEXT": context, "USE": used}
    for host in ("", "unix:///run/x.sock", "tcp://127.0.0.1:7")
    for context in ("", "default", "one", "two", "gone")
    for used in ("default", "one", "two")
]


def test_the_docker_that_is_meant_is_the_one_of_the_docker_command(
    root: EngineRoot, folder: Path
) -> None:
    lines = [
        f"docker context use {choice['USE']} >/dev/null 2>&1; "
        f"DOCKER_HOST={choice['DOCKER_HOST']} DOCKER_CONTEXT={choice['DOCKER_CONTEXT']} ask"
        for choice in CHOICES
    ]
    config = root.files / "root" / ".docker"
    done = root.run(["sh", "-c", CONTEXTS + "\n".join(lines)])
    assert done.returncode == 0, done.stderr
    found = []
    for choice in CHOICES:
        (config / "config.json").write_text(json.dumps({"currentContext": choice["USE"]}))
        try:
            found.append(docker_endpoint({"DOCKER_CONFIG": str(config), **choice}).address)
        except HostError:
            found.append("error")
    assert found == done.stdout.splitlines()


DAEMON = [
    "",
    " \\n\\t",
    "{}",
    "null",
    "[]",
    '"x"',
    "{",
    "{} {}",
    "// no\\n{}",
    '{"debug": true,}',
    '{"max-concurrent-downloads": NaN}',
    "\\xef\\xbb\\xbf{}",
    "\\xef\\xbb\\xbf",
    "\\xff\\xfe{\\x00}\\x00",
    "\\xfe\\xff\\x00{\\x00}",
    "\\xc2\\xa0{}",
    '{"labels": ["\\xff"]}',
    '{"registry-mirrors": ["http://127.0.0.1:1"], "registry-mirrors": ["http://127.0.0.1:2"]}',
    '{"debug": true}',
]


def test_a_configuration_is_read_where_dockerd_reads_it(root: EngineRoot) -> None:
    contents = [data.encode().decode("unicode_escape").encode("latin-1") for data in DAEMON]
    for number, content in enumerate(contents):
        (root.files / f"daemon-{number}.json").write_bytes(content)
    script = (
        f"for n in $(seq 0 {len(DAEMON) - 1}); do dockerd --validate --userland-proxy=false "
        '--config-file "/daemon-$n.json" >/dev/null 2>&1 && echo yes || echo no; done'
    )
    done = root.run(["sh", "-c", script])
    assert done.stdout.splitlines() == ["yes" if _is_read(one) else "no" for one in contents]


def _is_read(content: bytes) -> bool:
    try:
        dockerd.parse(content)
    except ValueError:
        return False
    return True
