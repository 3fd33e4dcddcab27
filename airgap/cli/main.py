"""The `airgap` command: global options, and the one place where errors become exit codes."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from types import FrameType
from typing import TextIO, cast

import click

from airgap import __version__
from airgap.cli._shared.settings import LOG, LOG_FILE, QUIET, VERBOSE, Settings, add_log_options
from airgap.errors import AirgapError, ExitCode, UsageError
from airgap.printable import PrintableStream, terminal

# Where a verb is used, to its file and its summary, so that help imports no verb.
_GROUPS = {
    "On the connected workstation": {
        "keygen": "Make a key pair: NAME.key signs bundles, NAME.pub checks.",
        "scan": "Show which images and URLs a build needs.",
        "specs": "List the ready-made bundle specs, or print one.",
        "init": "Write a bundle spec for Dockerfiles and bake files.",
        "bundle": "Pack images and a builder into a signed bundle.",
        "update": "Resolve names again, and show what changes in the lock.",
        "rehearse": "Build from a bundle alone, before it is carried.",
    },
    "On both sides": {
        "inspect": "Show the contents of a bundle, without checking it.",
        "verify": "Check the signature and every byte of a bundle.",
        "trust": "Manage the public keys whose bundles are accepted.",
        "schema": "Print the JSON Schema of what a verb prints with --json.",
        "completion": "Print tab completion for bash, zsh or fish.",
        "help": "Show the help of airgap or of a verb.",
        "version": "Print the version of airgap.",
    },
    "On the isolated host": {
        "install": "Check a bundle, and install it on this host.",
        "status": "Check every part of the installation.",
        "doctor": "Check the installation, and suggest or make fixes.",
        "build": "Build with docker buildx, and replay recorded downloads.",
        "serve": "Replay a recording to builds that you start yourself.",
        "env": "Print shell variables that select the `airgap` builder.",
        "enable": "Let a user build with the `airgap` builder.",
        "load": "Copy images of the mirror into Docker's own store.",
        "mirrors": "Print the configuration that other engines need.",
        "node": "Manage machines that build for this host's builder.",
        "account": "Manage accounts for access from other machines.",
        "log": "Show the install log, and check that it is complete.",
        "rollback": "Return to the state before the last bundle.",
        "prune": "Remove what no kept bundle needs.",
        "uninstall": "Undo the installation; keys and pushed images stay.",
    },
}
_VERBS = {verb: summary for verbs in _GROUPS.values() for verb, summary in verbs.items()}


class _LazyGroup(click.Group):
    """Imports a verb's file when the verb is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _VERBS:
            return super().get_command(ctx, cmd_name)
        module = importlib.import_module(f"airgap.cli.{cmd_name}")
        return add_log_options(module.command)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Suggest verbs that are spelled alike."""
        if self.get_command(ctx, args[0]) is None:
            from difflib import get_close_matches

            close = [f"airgap {verb}" for verb in get_close_matches(args[0], _VERBS)]
            raise UsageError(
                f"no such command: {args[0]!r}",
                remedy=f"did you mean {' or '.join(close)}?" if close else "airgap help lists all",
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs by the side that they are for."""
        width = max(map(len, _VERBS))
        for side, verbs in _GROUPS.items():
            with formatter.section(side):
                formatter.write_dl(
                    [(verb.ljust(width), summary) for verb, summary in verbs.items()]
                )

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the command line for the log: click takes it apart."""
        ctx.meta["airgap.words"] = [*args]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Run the verb, and log it."""
        from airgap import log

        settings = Settings.choose(ctx.params["root"], None, quiet=False)
        with log.logged(settings.state_dir, ctx.meta["airgap.words"]):
            return super().invoke(ctx)


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="airgap")
@click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="AIRGAP_ROOT",
    help="Where the isolated host keeps its state [default: /var/lib/airgap as root].",
)
@click.option(
    "--trust-dir",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="AIRGAP_TRUST_DIR",
    help="Where trusted keys are kept [default: /etc/airgap/trust as root].",
)
@click.option("--quiet", "-q", is_flag=True, help=QUIET)
@click.option("--verbose", "-v", count=True, help=VERBOSE)
@click.option("--log", "log_file", type=LOG_FILE, metavar="FILE", help=LOG)
@click.pass_context
def cli(
    context: click.Context,
    root: Path | None,
    trust_dir: Path | None,
    quiet: bool,
    verbose: int,
    log_file: Path | None,
) -> None:
    """Build container images for any platform on machines that have no network.

    \b
    On a connected workstation:
      airgap keygen site
      airgap bundle arm64-builder --key site.key -o /media/usb/airgap
    On the isolated host:
      airgap trust add site.pub
      airgap install /media/usb/airgap
    """
    from airgap import log

    if verbose:
        log.show(verbose)
    if log_file:
        log.write_to(log_file)
    context.obj = Settings.choose(root, trust_dir, quiet=quiet)
    _take_defaults(context)


def _take_defaults(context: click.Context) -> None:
    """Have the verb take defaults from the user's configuration file."""
    from platformdirs import user_config_path

    from airgap.cli._shared.defaults import read_defaults

    verb = context.invoked_subcommand or ""
    command = cli.get_command(context, verb)
    if command is not None:
        path = user_config_path("airgap") / "config.toml"
        context.default_map = {verb: read_defaults(path, verb, command)}


def main() -> None:
    """Run the command and exit with the code that `ExitCode` documents."""
    signal.signal(signal.SIGTERM, _interrupt)
    # What install puts in place is for all users; private keys get a mode of their own.
    os.umask(0o022)
    # For what Python itself prints after `run`: a traceback quotes foreign text too.
    sys.stderr = cast("TextIO", PrintableStream(sys.stderr))
    code = run(sys.argv[1:])
    if code != ExitCode.DONE:
        # At once: a thread that waits for a registry would hold Python's own way out.
        with suppress(OSError):
            sys.stdout.flush()
        os._exit(code)
    sys.exit(ExitCode.DONE)


def run(arguments: list[str]) -> int:
    """Return the command as a function: its exit code, errors on standard error.

    Whatever it prints, prompts and warnings too, passes one place that escapes what a terminal
    would obey.
    """
    out, err = (PrintableStream(terminal(item)) for item in (sys.stdout, sys.stderr))
    with redirect_stdout(cast("TextIO", out)), redirect_stderr(cast("TextIO", err)):
        return _run(arguments)


def _run(arguments: list[str]) -> int:
    try:
        cli.main(arguments, prog_name="airgap", standalone_mode=False)
    except AirgapError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        help_of = f"{context.command_path} --help" if context else "airgap help"
        shown = UsageError(error.format_message().rstrip("."), remedy=f"see {help_of}")
        print(f"error: {shown}", file=sys.stderr)
        return ExitCode.USAGE
    except (KeyboardInterrupt, click.Abort):
        print(
            "interrupted: finished work is kept; run the same command to continue",
            file=sys.stderr,
        )
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has closed it; so that Python does not complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return ExitCode.DONE


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
