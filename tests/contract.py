"""Holds what `--json` printed against the schema that `airgap schema` has of it."""

from __future__ import annotations

import json
from typing import Any

from jsonschema import Draft202012Validator

from airgap.views.schema import VIEWS, schema


def parse_json(command: str, text: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value of `text`, which a command printed with `--json`.

    Args:
        command: A key of `VIEWS`.
        text: What it printed.

    Raises:
        jsonschema.ValidationError: It is not what the schema says.
    """
    assert command in VIEWS
    document = json.loads(text)
    Draft202012Validator(schema(command)).validate(document)
    return document
