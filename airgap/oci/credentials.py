"""Credentials from Docker's own configuration: `auths`, `credHelpers`, `credsStore`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from airgap.errors import CredentialsError


@dataclass(frozen=True, slots=True)
class Credential:
    """A user name and password, or an identity token to exchange for access tokens."""

    username: str
    password: str
    identity_token: str = ""


class Credentials:
    """Reads `$DOCKER_CONFIG/config.json` or `~/.docker/config.json`, when first needed.

    docker-py does it; it is imported late because that takes longer than all of our start.
    """

    @cached_property
    def _config(self) -> Any:  # noqa: ANN401 - docker.auth has no types
        from docker import auth
        from docker.errors import DockerException
        from docker.utils.config import find_config_file

        try:
            return auth.load_config()
        except (DockerException, AttributeError, TypeError, ValueError) as error:
            raise CredentialsError(
                f"{find_config_file()!r} is not a configuration of Docker's: {error}",
                meaning="Credentials cannot be taken from it.",
                remedy="correct it; docker login writes one that is right",
            ) from error

    def find(self, host: str) -> Credential | None:
        """The credential for a registry host, if there is one.

        Raises:
            CredentialsError: The configuration is broken, or a credential helper failed.
        """
        from docker.errors import DockerException

        config = self._config
        try:
            found = config.resolve_authconfig(host)
        # docker-py lets through what it stumbles on in a helper's answer.
        except (DockerException, OSError, KeyError, TypeError, ValueError) as error:
            raise CredentialsError(
                f"the credential helper for {host} failed: {error}",
                remedy="try docker login, or remove credHelpers and credsStore from Docker's "
                "config.json",
            ) from error
        if not found:
            return None
        token = found.get("IdentityToken") or found.get("identitytoken") or ""
        username = found.get("Username") or found.get("username") or ""
        password = found.get("Password") or found.get("password") or ""
        return Credential(username, password, token) if token or username else None
