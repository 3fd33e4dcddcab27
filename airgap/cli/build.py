"""`airgap build`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from airgap.cli._shared.settings import Settings, pass_settings
from airgap.errors import AirgapError
from airgap.spec.request_file import DEFAULT_PATH, RequestFile, add_to_request

if TYPE_CHECKING:
    from airgap.offline.build import Built

_SHOWN_STEPS = 5
_WORTH_SECONDS = 5.0


@click.command(
    name="build",
    # Not -h: of an option with its value, such as -thost/app, click would take a letter for it.
    context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]},
)
@click.option("--recording", default="", metavar="NAME", help="Replay this one of several.")
@click.option(
    "--request",
    "request_path",
    type=click.Path(path_type=Path, dir_okay=False),
    default=DEFAULT_PATH,
    show_default=True,
    help="Write here what is missing.",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="BUILDX-ARGUMENTS…")
@pass_settings
def command(
    settings: Settings, recording: str, request_path: Path, arguments: tuple[str, ...]
) -> None:
    """Build with docker buildx, and replay recorded downloads.

    It takes all arguments of docker buildx build. First it looks for all that is missing. What
    RUN steps and ADD download comes from the recording that was made of this Dockerfile, and
    nothing else is reached. What was missing is written to a request file for the workstation:
    airgap bundle --request.

    \b
    Examples:
      airgap build -t 127.0.0.1:5000/demo/app --push .
      airgap build --platform linux/amd64,linux/arm64 -t 127.0.0.1:5000/demo/app --push .
      airgap build --recording app -f Dockerfile.web --load -t app .
    """
    from airgap.builder.arguments import BuildArguments
    from airgap.builder.build_context import open_source
    from airgap.isolated.commands.build import host_inputs
    from airgap.isolated.commands.load_context import load_context
    from airgap.isolated.host.user import User
    from airgap.isolated.state.layout import State
    from airgap.offline.build import MissedError, NotHereError, build, requested, requested_urls

    parsed = BuildArguments.parse(arguments)
    with settings.progress() as progress, open_source(parsed) as source:
        work = load_context(State(settings.root), User.behind_this_process(), progress)
        try:
            built = build(*host_inputs(work), source, recording)
        except (NotHereError, MissedError) as error:
            remedy = _add(request_path, requested(error))
            raise error.but(remedy=remedy or error.remedy) from error
    _show(built)
    _add(request_path, requested_urls(built.missed))


def _add(path: Path, missing: RequestFile) -> str:
    """Add what is missing to the request file, and say what to do with it."""
    if not missing.images and not missing.urls:
        return ""
    try:
        add_to_request(path, missing)
    except AirgapError as error:  # what went wrong before is what counts
        return f"it is in no request file: {error.message}"
    return f"{path} lists it, for the workstation: airgap bundle --request {path.name}"


def _show(built: Built) -> None:
    for request in built.missed:
        click.echo(f"not in the recording, and the build continued: {request.shown}", err=True)
    if built.unlisted:
        click.echo(f"{built.unlisted} more requests had no answer, and are not listed", err=True)
    slow = [step for step in built.emulated if step.seconds >= _WORTH_SECONDS][:_SHOWN_STEPS]
    if slow:
        click.echo("the slowest emulated steps:", err=True)
    for step in slow:
        click.echo(f"  {step.seconds:6.1f} s  {step.platform}  {step.text[:100]}", err=True)
        if step.advice:
            click.echo(f"            {step.advice}", err=True)
