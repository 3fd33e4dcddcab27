"""What the global options come to."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from airgap.progress import Progress

QUIET = "No progress."
VERBOSE = "Show what is done, and how long it takes; -vv also shows requests to registries."
LOG = "Append a log to FILE."
LOG_FILE = click.Path(path_type=Path, dir_okay=False)


@dataclass(frozen=True, slots=True)
class Settings:
    """Global settings.

    Attributes:
        state_dir: State of the isolated host; may be a folder that others can change.
        trust_dir: Trusted keys.
        quiet: No progress.
    """

    state_dir: Path
    trust_dir: Path
    quiet: bool

    @classmethod
    def choose(cls, root: Path | None, trust_dir: Path | None, *, quiet: bool) -> Settings:
        """Return the default folders: the system's for root or if they exist, else the user's."""
        data, config = Path("/var/lib/airgap"), Path("/etc/airgap")
        if os.geteuid() != 0 and not data.exists() and not config.exists():
            from platformdirs import user_config_path, user_data_path

            data, config = user_data_path("airgap"), user_config_path("airgap")
        return cls((root or data).absolute(), (trust_dir or config / "trust").absolute(), quiet)

    @property
    def root(self) -> Path:
        """State of the isolated host.

        Raises:
            HostError: Others than root and this user can change it.
        """
        from airgap.isolated.state.layout import check_safe

        check_safe(self.state_dir)
        return self.state_dir

    def progress(self) -> Progress:
        """Return the progress observer for this process."""
        from airgap.progress import choose_progress

        return choose_progress(quiet=self.quiet)


pass_settings = click.make_pass_decorator(Settings)


def add_log_options(command: click.Command) -> click.Command:
    """Give a verb, or the verbs below it, those options that also stand before it."""
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            add_log_options(inner)
    elif not any(option.name == "verbose" for option in command.params):
        taken = bool(command.context_settings.get("ignore_unknown_options"))
        command.params += _options(all_of_buildx=taken)
    return command


def _options(*, all_of_buildx: bool) -> list[click.Parameter]:
    """Make the options; a verb that takes buildx's has `--quiet` and single letters from there."""
    verbose, quiet = ["--verbose", "-v"], ["--quiet", "-q"]
    options: list[click.Parameter] = [
        _option(verbose[:1] if all_of_buildx else verbose, _show, count=True, help=VERBOSE),
        _option(["--log", "log_file"], _write_to, type=LOG_FILE, metavar="FILE", help=LOG),
    ]
    return options if all_of_buildx else [_option(quiet, _hush, is_flag=True, help=QUIET), *options]


def _option(names: list[str], do: Callable[..., None], **parts: Any) -> click.Option:  # noqa: ANN401
    return click.Option(names, callback=do, expose_value=False, **parts)


def _hush(context: click.Context, _option: click.Parameter, given: bool) -> None:
    if given:
        context.obj = replace(context.obj, quiet=True)


def _show(_context: click.Context, _option: click.Parameter, times: int) -> None:
    from airgap import log

    if times:
        log.show(times)


def _write_to(_context: click.Context, _option: click.Parameter, path: Path | None) -> None:
    from airgap import log

    if path:
        log.write_to(path)
