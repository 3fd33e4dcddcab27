"""JSON Schemas (draft 2020-12) of what `--json` prints, made from the views.

A field's type gives its schema, and the `Attributes` of the class give its description.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from airgap.views import host, workstation

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_SCALARS = {str: "string", int: "integer", float: "number", bool: "boolean", NoneType: "null"}
# A line of `Attributes`, and the lines that continue it, which are indented further.
_ATTRIBUTE = re.compile(r"^ {4}(\w+): (.+(?:\n {8}.+)*)", re.M)

VIEWS: Mapping[str, Any] = {
    "account list": Sequence[str],
    "bundle": workstation.BundleResult,
    "bundle --dry-run": workstation.BundlePlan,
    "doctor": Mapping[str, host.Check],
    "inspect": workstation.BundleContents,
    "install": host.InstallResult,
    "log": Sequence[host.Receipt],
    "mirrors": host.EngineConfig,
    "node list": Sequence[host.NodeState],
    "prune": host.PruneResult,
    "rollback": host.RollbackResult,
    "scan": workstation.ScanResult,
    "status": host.Status,
    "trust list": Sequence[workstation.TrustedKey],
    "update": workstation.LockUpdate,
    "verify": workstation.VerifyResult,
}
"""A command to the type of what it prints with `--json`."""


def schema(command: str) -> dict[str, Any]:
    """Return the JSON Schema of a command's output.

    Args:
        command: A key of `VIEWS`.
    """
    name = command.replace(" --", "-").replace(" ", "-")
    return {"$schema": _DRAFT, "$id": f"urn:airgap:schema:{name}:1", **_schema(VIEWS[command])}


def _schema(kind: Any) -> dict[str, Any]:  # noqa: ANN401 - a type hint
    if kind in _SCALARS:
        return {"type": _SCALARS[kind]}
    if is_dataclass(kind):
        return _object(kind)
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return {"anyOf": [_schema(one_of) for one_of in inner]}
    if origin is Mapping:
        return {"type": "object", "additionalProperties": _schema(inner[1])}
    if origin is Sequence:
        return {"type": "array", "items": _schema(inner[0])}
    raise TypeError(kind)


def _object(view: Any) -> dict[str, Any]:  # noqa: ANN401 - a dataclass
    text = inspect.getdoc(view) or ""  # without the indentation that Python 3.13 takes away
    described = {name: " ".join(words.split()) for name, words in _ATTRIBUTE.findall(text)}
    hints = get_type_hints(view)
    names = [field.name for field in fields(view)]
    return {
        "type": "object",
        "description": text.partition("\n")[0],
        "properties": {
            name: {**_schema(hints[name]), "description": described[name]} for name in names
        },
        "required": names,
        "additionalProperties": False,
    }
