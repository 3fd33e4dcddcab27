"""The docker command's own configuration, read as the docker command reads it.

The file is `config.json` in `$DOCKER_CONFIG`, or in `~/.docker` where that is not set. The command
takes a file that is missing or blank as empty, the first JSON value of the file alone, and names
of settings in any case. A `null` leaves what came before it. (docker/cli, `cli/config/config.go`,
and Go's `encoding/json`.)
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FILE_NAME = "config.json"
_BLANK = " \t\r\n"


def config_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the folder of the configuration of whoever has these variables."""
    named = environment.get("DOCKER_CONFIG")
    home = environment.get("HOME")
    return Path(named) if named else (Path(home) if home else Path.home()) / ".docker"


def parse_config(data: bytes) -> dict[str, Any]:
    """Read a configuration.

    Args:
        data: The bytes of its file.

    Raises:
        ValueError: The docker command does not read it.
    """
    text = data.decode("utf-8", errors="replace").lstrip(_BLANK)
    if not text:
        return {}
    try:
        document, _ = _DECODER.raw_decode(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(document, dict | type(None)):
        raise ValueError(f"it holds a {type(document).__name__}, not an object")
    return document or {}


def setting(config: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401 - any JSON
    """Return a setting, whatever the case of its name; None if the configuration has none.

    Args:
        config: From `parse_config`.
        name: Of the setting, in lower case.
    """
    found = [value for key, value in config.items() if key.lower() == name and value is not None]
    return found[-1] if found else None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if value is not None or key not in found:
            found[key] = value
    return found


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse)
