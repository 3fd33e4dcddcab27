"""Credentials from Docker's own configuration, found as the docker command finds them.

`DOCKER_AUTH_CONFIG` comes first, then the helper of a host (`credHelpers`), then the store for all
hosts (`credsStore`), then `auths`. A host with a helper or a store has no credentials in `auths`.
(docker/cli, `cli/config/configfile/file.go` and `cli/config/credentials`.)
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from airgap import processes
from airgap.docker_config import FILE_NAME, config_folder, parse_config, setting
from airgap.errors import CredentialsError

_HUB = "docker.io"
_HUB_KEY = "https://index.docker.io/v1/"
_HUB_NAMES = (_HUB, f"index.{_HUB}")

_VARIABLE = "DOCKER_AUTH_CONFIG"
_NOT_FOUND = "credentials not found in native keychain"
_TOKEN_USER = "<token>"  # noqa: S105 - what helpers call whoever has an identity token


@dataclass(frozen=True, slots=True)
class Credential:
    """A user name and password, or a token.

    Attributes:
        username: Of the account; empty with a token.
        password: Of the account.
        identity_token: To be exchanged for access tokens.
        registry_token: What the registry takes as it is.
    """

    username: str
    password: str
    identity_token: str = ""
    registry_token: str = ""


class Credentials:
    """Reads `$DOCKER_CONFIG/config.json` or `~/.docker/config.json`, when first needed."""

    @cached_property
    def _config(self) -> _Config:
        path = config_folder() / FILE_NAME
        try:
            return _Config.of(_read(path))
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise CredentialsError(
                f"{str(path)!r} is not a configuration of Docker's: {reason}",
                meaning="Credentials cannot be taken from it.",
                remedy="correct it; docker login writes one that is right",
            ) from error

    @cached_property
    def _given(self) -> Mapping[str, Credential]:
        return _given(os.environ.get(_VARIABLE, ""))

    def find(self, host: str) -> Credential | None:
        """Return the credential for a registry host, if there is one.

        Raises:
            CredentialsError: The configuration is broken, or a credential helper failed.
        """
        key = _HUB_KEY if host == _HUB else host
        if key in self._given:
            return self._given[key]
        config = self._config
        found = config.entry(host)
        if helper := config.helper(key):
            try:
                found = _from_helper(helper, key, found)
            except (OSError, ValueError) as error:
                reason = error.strerror if isinstance(error, OSError) else error
                raise CredentialsError(
                    f"the credential helper for {host} failed: {reason}",
                    remedy="try docker login, or remove credHelpers and credsStore from Docker's "
                    "config.json",
                ) from error
        has_any = found.username or found.identity_token or found.registry_token
        return found if has_any else None


@dataclass(frozen=True, slots=True)
class _Config:
    """What a configuration says of credentials.

    Attributes:
        auths: Key, as it is written, to what it holds.
        helpers: Key to the helper that is asked for it.
        store: The helper for all other keys; empty for none.
    """

    auths: Mapping[str, Credential]
    helpers: Mapping[str, str]
    store: str

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> _Config:
        """Read the credentials of one entry.

        Raises:
            ValueError: The docker command does not.
        """
        auths = _mapping(document, "auths")
        return cls(
            {key: _credential(key, _entry(key, value)) for key, value in auths.items()},
            {key: _text(value) for key, value in _mapping(document, "credhelpers").items()},
            _text(setting(document, "credsstore")),
        )

    def helper(self, key: str) -> str:
        """Return the helper that is asked for a key; empty if none is."""
        return self.helpers.get(key, self.store)

    def entry(self, host: str) -> Credential:
        """Return the entry of `auths` for a host, by its name or by an address with it."""
        names = [_HUB_KEY, *_HUB_NAMES] if host == _HUB else [host]
        exact = [self.auths[name] for name in names if name in self.auths]
        other = [value for key, value in self.auths.items() if _host_of(key) in names]
        return next(iter([*exact, *other]), Credential("", ""))


def _read(path: Path) -> dict[str, Any]:
    try:
        return parse_config(path.read_bytes())
    except FileNotFoundError:
        return {}


def _given(text: str) -> dict[str, Credential]:
    """Return what the variable holds; nothing if it is not just as the docker command wants it."""
    try:
        document = json.loads(text or "{}")
        entries = _mapping(document, "auths")
        words = {key.lower() for key in document} - {"auths"}
        words |= {word.lower() for entry in entries.values() for word in entry} - {"auth"}
        if words or not all(_text(setting(entry, "auth")) for entry in entries.values()):
            return {}
        return {key: _credential(key, entry) for key, entry in entries.items()}
    except (ValueError, TypeError, AttributeError, RecursionError):
        return {}


def _mapping(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = setting(document, name)
    if not isinstance(value, dict | type(None)):
        raise ValueError(f"{name} is not an object")
    return value or {}


def _entry(key: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict | type(None)):
        raise ValueError(f"the entry {key!r} is not an object")
    return value or {}


def _text(value: object) -> str:
    if not isinstance(value, str | type(None)):
        raise ValueError(f"a {type(value).__name__} stands for a text")
    return value or ""


def _credential(key: str, entry: Mapping[str, Any]) -> Credential:
    """Return what an entry of `auths` holds; `auth` comes before a user name and a password."""
    username, password = (_text(setting(entry, name)) for name in ("username", "password"))
    if auth := _text(setting(entry, "auth")):
        username, password = _decoded(key, auth)
    registry = _text(setting(entry, "registrytoken"))
    if identity := _text(setting(entry, "identitytoken")):
        return Credential("", "", identity, registry)
    return Credential(username, password, "", registry)


def _decoded(key: str, auth: str) -> tuple[str, str]:
    data = base64.b64decode(auth.replace("\r", "").replace("\n", ""), validate=True)
    username, separator, password = data.decode().partition(":")
    if not separator or (password and not username):
        raise ValueError(f"the auth of {key!r} is not NAME:PASSWORD")
    return username, password.strip("\0")


def _host_of(key: str) -> str:
    """Return the host and port of a key: `https://a.internal:5000/v1/` is of `a.internal:5000`."""
    _, separator, rest = key.partition("://")
    host = (rest if separator else key).partition("/")[0]
    return host.rpartition("@")[2] if separator else host


def _from_helper(helper: str, key: str, entry: Credential) -> Credential:
    """Return what a credential helper says (docker/docker-credential-helpers, `client/client.go`).

    Args:
        helper: Its name.
        key: What it is asked for.
        entry: What `auths` holds for that.

    Raises:
        OSError: It cannot be run.
        ValueError: It fails, or answers otherwise than a helper does.
    """
    program = f"docker-credential-{helper}"
    try:
        done = processes.run(
            [program, "get"], input=key.encode(), stdout=subprocess.PIPE, check=False
        )
    except FileNotFoundError as error:
        raise ValueError(f"{program} is not installed") from error
    said = done.stdout.decode(errors="replace").strip()
    if said == _NOT_FOUND:
        return Credential("", "", "", entry.registry_token)
    if done.returncode != 0:
        raise ValueError(said or f"exit status {done.returncode}")
    answer = json.loads(said)
    if not isinstance(answer, dict):
        raise ValueError(f"it answers a {type(answer).__name__}, not an object")
    username, secret = (_text(setting(answer, name)) for name in ("username", "secret"))
    if username == _TOKEN_USER:
        return Credential("", "", secret, entry.registry_token)
    return Credential(username, secret, "", entry.registry_token)
