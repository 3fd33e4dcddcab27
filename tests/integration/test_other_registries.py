"""Pushing to registries that others have written, and bundling from them, judged by crane."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from airgap.errors import ExitCode
from lab.other_registries import ACCOUNT, CraneRegistry, Gitea, Olareg, OtherRegistry, Zot
from lab.parts import program
from lab.run import run
from lab.upstream import Upstream
from tests.integration.command import Outcome, airgap
from tests.integration.conftest import APP, OLD, SINGLE
from tests.integration.faults import FaultProxy
from tests.integration.tokens import Tokens

_KINDS = ("crane", "olareg", "olareg-bearer", "zot", "zot-tls-basic", "gitea", "gitea-private")


@dataclass(frozen=True, slots=True)
class Site:
    """A registry, and a host that pushes to it.

    Attributes:
        kind: Which registry.
        address: Where it is, or what stands before it.
        ca: Its CA, if it speaks HTTPS.
        judged: Where other tools look: crane knows no token server that is given as a path.
        folder: For the host's state, and Docker's configuration.
        key: Signs bundles.
    """

    kind: str
    address: str
    ca: Path | None
    judged: str
    folder: Path
    key: Path

    @property
    def prefix(self) -> str:
        """Where this site's images are: in Gitea, the first name is the owner's."""
        return f"{self.address}/{ACCOUNT[0]}"

    def push(self, bundle: Path, *options: str) -> Outcome:
        ca = ("--ca", self.ca) if self.ca else ()
        return airgap(
            "--root", self.folder / "state", "install", bundle, "--only", "push", *ca,
            "--trust", self.key.with_suffix(".pub"), "--registry", self.prefix, *options,
        )  # fmt: skip

    def bundle(self, *images: str) -> Outcome:
        config = self.folder / "registries.toml"
        ca = f'ca = "{self.ca}"' if self.ca else ""
        config.write_text(f'[registry."{self.address}"]\n{ca}\n')
        return airgap(
            "bundle", *(f"{self.prefix}/{image}:1" for image in images), "--all-platforms",
            "--no-roles", "--registries", config, "--key", self.key,
            "-o", self.folder / "from-there",
        )  # fmt: skip

    def crane(self, command: str, image: str, *options: str) -> str:
        secure = self.judged == self.address and self.ca
        surroundings = {"SSL_CERT_FILE": str(self.ca)} if secure else {}
        name = f"{self.judged}/{ACCOUNT[0]}/{image}:1"
        return run([program("crane"), command, *options, name], env=surroundings).strip()


def _registry(kind: str) -> OtherRegistry:
    if kind == "crane":
        return CraneRegistry()
    if kind.startswith("olareg"):
        return Olareg()
    if kind.startswith("zot"):
        return Zot(private=kind != "zot", tls=kind != "zot")
    return Gitea(private=kind == "gitea-private")


@pytest.fixture(scope="module", params=_KINDS)
def site(
    request: pytest.FixtureRequest, key: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """Each registry; olareg with tokens has a token server before it, given as a path, and TLS."""
    kind, folder = str(request.param), tmp_path_factory.mktemp("site")
    with ExitStack() as stack:
        other = stack.enter_context(_registry(kind))
        address, ca, account = other.address, other.ca_file, other.account
        if kind == "olareg-bearer":
            authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert("127.0.0.1").configure_cert(context)
            ca, account = folder / "ca.pem", ACCOUNT
            authority.cert_pem.write_to_path(str(ca))
            tokens = Tokens(ACCOUNT, pushing=True, realm="/token")
            address = stack.enter_context(FaultProxy(other.address, tokens, tls=context)).address
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("DOCKER_CONFIG", str(folder))
        if account:
            auth = base64.b64encode(":".join(account).encode()).decode()
            (folder / "config.json").write_text(json.dumps({"auths": {address: {"auth": auth}}}))
        yield Site(kind, address, ca, other.address, folder, key)


@pytest.fixture(scope="module")
def bundles(
    registries: Path, key: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """A bundle with all of two images, one that leaves out platforms, and one of Docker's types."""
    folder = tmp_path_factory.mktemp("bundles")
    choices = {
        "whole": (f"{APP}:1", f"{SINGLE}:1", "--all-platforms"),
        "sparse": (f"{APP}:1", "--platform", "linux/arm64"),
        "docker": (f"{OLD}:1", "--all-platforms"),
    }
    for name, choice in choices.items():
        outcome = airgap(
            "bundle", *choice, "--no-roles", "--name", name, "--registries", registries,
            "--key", key, "-o", folder / name,
        )  # fmt: skip
        assert outcome.code == 0, outcome.err
    return {name: folder / name for name in choices}


def _digest(registry: Upstream, image: str) -> str:
    return run([program("crane"), "digest", f"{registry.address}/{image}:1"]).strip()


def test_a_registry_gets_what_upstream_has_and_gives_it(
    site: Site, bundles: dict[str, Path], registry: Upstream
) -> None:
    outcome = site.push(bundles["whole"])
    assert outcome.code == 0, outcome.err
    for image in (APP, SINGLE):
        assert site.crane("digest", image) == _digest(registry, image)
    site.crane("validate", SINGLE, "--remote")
    again = site.push(bundles["whole"])
    assert again.code == 0, again.err
    assert "pushed" not in again.err
    outcome = site.bundle(APP, SINGLE)
    assert outcome.code == 0, outcome.err
    contents = json.loads((site.folder / "from-there" / "bundle.json").read_text())
    digests = {image["digest"] for image in contents["images"]}
    assert digests == {_digest(registry, image) for image in (APP, SINGLE)}


def test_images_of_dockers_types_are_taken_or_the_types_are_named(
    site: Site, bundles: dict[str, Path], registry: Upstream
) -> None:
    outcome = site.push(bundles["docker"])
    if site.kind.startswith("zot"):
        assert outcome.code == ExitCode.UPSTREAM
        assert "images of Docker's media types" in outcome.err
        assert "docker2s2" in outcome.err
    else:
        assert outcome.code == 0, outcome.err
        assert site.crane("digest", OLD) == _digest(registry, OLD)


@pytest.mark.parametrize("site", ["crane", "olareg", "gitea"], indirect=True)
def test_a_registry_that_wants_all_of_an_index_says_so_and_takes_a_rewritten_one(
    site: Site, bundles: dict[str, Path]
) -> None:
    there = ("--registry", f"{site.prefix}/sparse")
    outcome = site.push(bundles["sparse"], *there)
    assert outcome.code == ExitCode.UPSTREAM
    assert "does not take the index of app:1" in outcome.err
    assert "--api-sparse-index" in outcome.err
    outcome = site.push(bundles["sparse"], *there, "--rewrite-indexes")
    assert outcome.code == 0, outcome.err
