"""The ready-made specs: each has a name and a summary, and can be read."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from airgap.cli.main import cli
from airgap.errors import UsageError
from airgap.spec.bundle_spec import load_spec
from airgap.spec.ready_made import ready_made, summary

NAMES = ready_made()


def test_there_are_some() -> None:
    assert {"arm64-builder", "arm64-native", "legacy-qemu"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_each_is_a_spec_of_that_name_with_a_summary(name: str) -> None:
    assert load_spec(NAMES[name]).name == name
    text = summary(NAMES[name])
    assert text[:1].isupper()
    assert "\n" not in text


def test_the_verb_lists_them_and_prints_one() -> None:
    runner = CliRunner()
    listed = runner.invoke(cli, ["specs"]).output
    assert all(name in listed for name in NAMES)
    printed = runner.invoke(cli, ["specs", "legacy-qemu"]).output
    assert printed == NAMES["legacy-qemu"].read_text()


def test_a_program_without_specs_says_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airgap.cli.specs.ready_made", dict)
    result = CliRunner().invoke(cli, ["specs"])
    assert isinstance(result.exception, UsageError)
    assert result.exception.remedy == "run airgap specs on the workstation"
