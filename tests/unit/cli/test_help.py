"""The command line explains itself, and the README says the same."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import airgap.cli
from airgap.builder.mirrors.engines import ENGINES
from airgap.cli.main import cli, run
from airgap.errors import ExitCode
from airgap.isolated.steps import STEP_NAMES
from airgap.oci.registries import load_registries
from airgap.spec.bundle_spec import DEFAULT_ROLES, BundleSpec, load_spec
from tests.readme import README, blocks, first_column

CONTEXT = click.Context(cli)
VERBS = sorted(cli.list_commands(CONTEXT))


def all_commands() -> dict[str, click.Command]:
    """Every verb, and every verb of a verb, by what people type."""
    found: dict[str, click.Command] = {}
    for verb in VERBS:
        command = cli.get_command(CONTEXT, verb)
        assert command is not None
        found[verb] = command
        if isinstance(command, click.Group):
            found |= {f"{verb} {name}": inner for name, inner in command.commands.items()}
    return found


def help_of(name: str) -> str:
    """What `airgap NAME --help` prints."""
    done = CliRunner().invoke(cli, [*name.split(), "--help"], prog_name="airgap")
    assert done.exit_code == ExitCode.DONE
    return done.output


@pytest.mark.parametrize("name", all_commands())
def test_the_help_of_a_verb_has_an_example_of_it(name: str) -> None:
    text = help_of(name)
    _, found, examples = text.partition("Example")
    assert found, text
    assert f"airgap {name}" in examples


@pytest.mark.parametrize("verb", VERBS)
def test_the_summary_of_a_verb_is_the_first_line_of_its_help(verb: str) -> None:
    summary = re.search(rf"^  {verb} +(.+)$", help_of(""), re.M)
    assert summary is not None
    command = all_commands()[verb]
    assert summary[1] == (command.help or "").partition("\n")[0]
    assert len(summary[1]) <= 60
    assert summary[1].endswith(".")


def test_help_lists_verbs_by_side_and_fits_a_terminal() -> None:
    text = help_of("")
    sides = re.findall(r"^(On .+):$", text, re.M)
    assert sides == ["On the connected workstation", "On both sides", "On the isolated host"]
    assert "..." not in text.partition("Options:")[2]
    own = [line for line in text.splitlines() if not line.startswith("    airgap")]
    assert max(map(len, own)) <= 80


@pytest.mark.parametrize("name", ["", "bundle", "node add"])
def test_help_is_a_verb_too(name: str) -> None:
    done = CliRunner().invoke(cli, ["help", *name.split()], prog_name="airgap")
    assert done.output.splitlines()[1:] == help_of(name).splitlines()[1:]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["bundel"], "no such command: 'bundel'\n  -> did you mean airgap bundle"),
        (["instal"], "-> did you mean airgap install"),
        (["xyzzy"], "-> airgap help lists all"),
        (["bundle", "--platfrom", "x"], "'--platform'?)\n  -> see airgap bundle --help"),
        (["help", "bundle", "x"], "airgap bundle has no command 'x'"),
        (["help", "bundel"], "did you mean airgap bundle"),
    ],
)
def test_a_mistyped_word_leads_to_the_right_one(
    words: list[str], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words) == ExitCode.USAGE
    assert error in capsys.readouterr().err


def test_no_function_of_the_command_line_has_many_parameters() -> None:
    package = Path(airgap.cli.__file__).parent
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                parameters = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                assert len(parameters) <= 8, f"{path}:{node.lineno}"


@pytest.mark.parametrize("name", sorted(all_commands()))
def test_every_option_is_explained(name: str) -> None:
    unexplained = [
        option.name
        for option in all_commands()[name].params
        if isinstance(option, click.Option) and not option.help
    ]
    assert unexplained == []


@pytest.mark.parametrize("name", sorted(all_commands()))
def test_every_verb_takes_the_options_of_the_log(name: str) -> None:
    if not isinstance(all_commands()[name], click.Group):
        text = help_of(name)
        letters = "" if name == "build" else "-v, "
        assert f"  {letters}--verbose" in text
        assert "  --log FILE" in text
        assert ("  -q, --quiet" in text) is (name != "build")


def test_the_help_of_install_names_the_steps_in_order() -> None:
    listed = re.search(r"Steps, in order:\n(( +.+\n)+)", help_of("install"))
    assert listed is not None
    assert tuple(re.split(r",\s+", listed[1].strip())) == STEP_NAMES


def test_the_readme_lists_the_verbs() -> None:
    assert sorted(first_column("Commands")) == [f"`airgap {verb}`" for verb in VERBS]
    for verb in VERBS:
        summary = (all_commands()[verb].help or "").partition("\n")[0]
        assert f"| `airgap {verb}` | {summary} |" in README.read_text()


def test_the_readme_lists_the_engines_that_are_sent_to_the_mirror() -> None:
    listed = [cell.split("`")[1] for cell in first_column("Other engines")]
    assert list(dict.fromkeys(listed)) == list(ENGINES)


def test_the_readme_lists_the_exit_codes() -> None:
    assert first_column("Exit codes") == [str(code.value) for code in ExitCode]


def test_the_verbs_that_the_readme_says_have_json_are_those_that_have_it() -> None:
    line = re.search(r"^(`account list`.+) have `--json`\.$", README.read_text(), re.M)
    assert line is not None
    having = {
        name
        for name, command in all_commands().items()
        if any("--json" in parameter.opts for parameter in command.params)
    }
    assert set(re.findall(r"`([a-z ]+)`", line[1])) == having


@pytest.mark.parametrize("name", all_commands())
def test_every_option_that_the_readme_shows_exists(name: str) -> None:
    params = all_commands()[name].params
    known = {option for one in params for option in (*one.opts, *one.secondary_opts)}
    known |= {option for parameter in cli.params for option in parameter.opts}
    if name == "build":
        return  # it takes all of buildx's
    for shown in re.findall(rf"\bairgap {name} ([^`\n]*)", README.read_text()):
        assert set(re.findall(r"(?<=\s)--?[a-z][a-z-]*", f" {shown}")) <= known | {"--help"}


def test_the_spec_in_the_readme_names_every_key_and_the_real_defaults(tmp_path: Path) -> None:
    (text,) = [block.text for block in blocks() if block.place == "spec"]
    path = tmp_path / "spec.toml"
    path.write_text(text)
    spec, defaults = load_spec(path), BundleSpec()
    assert (spec.platforms, spec.host_platforms) == (defaults.platforms, defaults.host_platforms)
    assert {role: image.familiar for role, image in spec.roles.items()} == DEFAULT_ROLES
    assert spec.images[1].platforms is not None


def test_the_registries_file_in_the_readme_is_one(tmp_path: Path) -> None:
    (text,) = [block.text for block in blocks() if block.place == "registries"]
    (tmp_path / "site-ca.pem").touch()
    path = tmp_path / "registries.toml"
    path.write_text(text)
    assert len(load_registries(path).sections) == 3


@pytest.mark.parametrize("cell", first_column("When something goes wrong"))
def test_airgap_says_the_messages_that_the_readme_explains(cell: str) -> None:
    for message in re.findall(r"`(.+?)`", cell):
        longest = max(re.split(r" ?… ?|\d+$", message), key=len)
        assert any(longest in text for text in sources()), message


@cache
def sources() -> list[str]:
    """All texts of the package; a string that continues in the next line is one text."""
    files = (README.parent / "airgap").rglob("*.py")
    return [re.sub(r'"\n\s*f?"', "", file.read_text()) for file in files]


def test_the_tree_in_the_readme_is_the_source() -> None:
    (text,) = [block.text for block in blocks() if block.place == "tree"]
    listed = set()
    parents: list[str] = []
    for indent, name in re.findall(r"^( *)([a-z_]+)/", text, re.M):
        parents = [*parents[: len(indent) // 2], name]
        listed.add("/".join(parents))
    project = README.parent
    packages = {path.parent for path in project.glob("airgap/**/__init__.py")}
    assert {str(path.relative_to(project)) for path in packages} <= listed
    assert all((project / folder).is_dir() for folder in listed)


@pytest.mark.parametrize("word", ["-thost/app", "-fthe/Dockerfile", "-otype=oci,dest=here"])
def test_no_letter_of_a_value_is_taken_for_the_help(word: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["build", word, str(tmp_path)], prog_name="airgap")
    assert "Usage:" not in done.output
    assert done.exit_code != ExitCode.DONE
