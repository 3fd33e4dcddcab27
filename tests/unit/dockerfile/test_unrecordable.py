"""Which commands are hinted at, and which are not."""

from __future__ import annotations

import pytest

from airgap.dockerfile.unrecordable import unrecordable

GIT = "git fetches with POST requests"
SSH_GIT = "git fetches over ssh"
CURL = "curl sends something other than GET"
WGET = "wget sends something other than GET"
FTP = "ftp is not HTTP"
SSH = "ssh, scp and rsync are not HTTP"
JVM = "Gradle and other Java tools ignore the proxy that a recording needs"
DOCKER = "the build has no Docker to talk to"


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("git clone https://x.test/y", [GIT]),
        ("apt-get update && git -C /x clone --depth 1 https://x.test/y", [GIT]),
        ("cd x; git submodule update --init", [GIT]),
        ("if x; then git fetch origin; fi", [GIT]),
        ("git clone git@x.test:y/z.git", [SSH_GIT]),
        ("git clone ssh://git@x.test/y", [SSH_GIT]),
        ("GIT_SSL_NO_VERIFY=1 git clone https://x.test/y", [GIT]),
        ("curl -X POST https://x.test", [CURL]),
        ("curl -sX PUT https://x.test", [CURL]),
        ("curl -I https://x.test", [CURL]),
        ("curl -fsSLI https://x.test", [CURL]),
        ("curl --head https://x.test", [CURL]),
        ("curl -s --data-binary @x https://x.test", [CURL]),
        ("curl -T x https://x.test", [CURL]),
        ("curl \\\n  --request POST https://x.test", [CURL]),
        ("wget --post-data=x https://x.test", [WGET]),
        ("wget -q --spider https://x.test", [WGET]),
        ("curl -O ftp://x.test/y", [FTP]),
        ("wget ftp://x.test/y", [FTP]),
        ("ssh x.test true", [SSH]),
        ("/usr/bin/rsync -a x.test:y z", [SSH]),
        ("sudo scp x.test:y z", [SSH]),
        ("docker pull alpine", [DOCKER]),
        ("sh -c 'git clone https://x.test/y'", [GIT]),
        ("x=$(git ls-remote https://x.test/y)", [GIT]),
        ("git -c a.b=c clone https://x.test/y", [GIT]),
        ("curl -XPOST https://x.test", [CURL]),
        ("curl --request=DELETE https://x.test", [CURL]),
        ("curl -d@x https://x.test", [CURL]),
        ("wget --method POST https://x.test", [WGET]),
        ("./gradlew build --no-daemon", [JVM]),
        ("cd app && sbt compile", [JVM]),
        ("git clone https://x.test && curl -I https://x.test", [GIT, CURL]),
    ],
)
def test_what_no_recording_holds_is_found(script: str, found: list[str]) -> None:
    assert [one.text for one in unrecordable(script)] == found
    assert all(one.remedy for one in unrecordable(script))


def test_long_scripts_take_no_longer_than_they_are() -> None:
    assert list(unrecordable("sudo git x " * 50_000)) == []
    assert [one.text for one in unrecordable("git clone x " * 50_000)] == [GIT]


@pytest.mark.parametrize(
    "script",
    [
        "apt-get update && apt-get install -y git curl wget rsync openssh-client docker.io",
        "curl -fsSL https://x.test/y.tar.gz | tar xz",
        "curl -X GET https://x.test",
        "curl --request GET https://x.test",
        "curl -fsSLo /usr/bin/docker https://x.test/Docker-I",
        "curl -fsSL -o x https://x.test && tar -xzf x -C /d && rm -fd x",
        "curl -fL https://x.test; ls -I x",
        "wget -qO- https://x.test/clone",
        "git config --global user.name x",
        "git --version",
        "echo 'see git'",
        "# git clone https://x.test",
        "make docker",
        "docker --version",
        "ssh -V",
        "rsync -a /x /y",
        "git config --global url.https://x.insteadOf clone",
        "git -C clone status",
        "curl -H 'X-Y: I' https://x.test",
        "mkdir -p ~/.ssh && chmod 700 ~/.ssh",
        "pip install git",
    ],
)
def test_what_a_recording_holds_is_not(script: str) -> None:
    assert list(unrecordable(script)) == []
