"""The schemas are valid, complete, and refuse what is not theirs."""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass

import click
import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator, ValidationError

from airgap.cli.main import cli
from airgap.views import host, workstation
from airgap.views.schema import VIEWS, schema
from airgap.views.view import to_json, view_of
from airgap.views.workstation import TrustedKey
from tests.contract import parse_json


@pytest.mark.parametrize("command", VIEWS)
def test_a_schema_is_a_json_schema_and_describes_every_field(command: str) -> None:
    document = schema(command)
    Draft202012Validator.check_schema(document)
    assert document["$id"].startswith("urn:airgap:schema:")
    objects = [document]
    while objects:
        found = objects.pop()
        for name, field in found.get("properties", {}).items():
            assert field["description"].endswith("."), name
        objects += [value for value in found.values() if isinstance(value, dict)]


@pytest.mark.parametrize("command", VIEWS)
def test_every_python_makes_the_same_schema(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = schema(command)
    for module in (host, workstation):
        for view in vars(module).values():
            if isinstance(view, type) and view.__doc__:
                # Python 3.13 and newer keep docstrings without their indentation.
                monkeypatch.setattr(view, "__doc__", inspect.cleandoc(view.__doc__))
    assert schema(command) == made


def test_every_command_with_json_has_a_schema() -> None:
    context = click.Context(cli)
    commands: dict[str, click.Command] = {}
    for verb in cli.list_commands(context):
        command = cli.get_command(context, verb)
        assert command is not None
        inner = command.commands if isinstance(command, click.Group) else {"": command}
        commands |= {f"{verb} {name}".strip(): each for name, each in inner.items()}
    having = {
        name
        for name, command in commands.items()
        if any("--json" in parameter.opts for parameter in command.params)
    }
    assert {name.partition(" --")[0] for name in VIEWS} == having


def test_the_verb_prints_a_schema_and_lists_them() -> None:
    runner = CliRunner()
    assert runner.invoke(cli, ["schema"]).output.splitlines() == list(VIEWS)
    for command in VIEWS:
        done = runner.invoke(cli, ["schema", *command.split()])
        assert json.loads(done.output) == schema(command)


def test_another_document_is_refused() -> None:
    keys = [TrustedKey("site", "SHA256:…")]
    assert parse_json("trust list", to_json(keys)) == [{"name": "site", "fingerprint": "SHA256:…"}]
    for text in ('[{"name": "site"}]', '[{"name": "a", "fingerprint": "b", "x": 1}]', "{}", "[{}]"):
        with pytest.raises(ValidationError):
            parse_json("trust list", text)


def test_a_view_takes_only_its_own_fields_of_an_object() -> None:
    @dataclass
    class Key:
        name: str
        fingerprint: str
        secret: str = "never printed"

    assert "never" not in to_json(view_of(TrustedKey, Key("site", "f")))
    with pytest.raises(AttributeError):
        view_of(TrustedKey, object())
