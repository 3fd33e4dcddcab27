"""`airgap load`."""

from __future__ import annotations

import click

from airgap.cli._shared.settings import Settings, pass_settings


@click.command(name="load")
@click.argument("names", metavar="NAME…", nargs=-1, required=True)
@click.option(
    "--platform",
    default="",
    metavar="PLATFORM",
    help="Which one, as linux/arm64, where Docker's store holds but one of an image.",
)
@pass_settings
def command(settings: Settings, names: tuple[str, ...], platform: str) -> None:
    """Copy images of the mirror into Docker's own store.

    NAME is an image of an installed bundle. With containerd's image store Docker takes all of its
    platforms. The classic store has one under each name: that of --platform, otherwise this
    host's, if the image has it.

    \b
    Examples:
      airgap load arm64v8/alpine multiarch/qemu-user-static:x86_64-aarch64
      airgap load --platform linux/arm64 alpine busybox
    """
    from airgap.isolated.commands.load_context import load_context
    from airgap.isolated.host.user import User
    from airgap.isolated.state.layout import State
    from airgap.isolated.steps.load import bring_image
    from airgap.oci.platform import native_platform, parse_platform

    chosen = parse_platform(platform) if platform else None
    with settings.progress() as progress:
        state = State(settings.root)
        work = load_context(state, User.behind_this_process(), progress)
        work.engine.check()
        with state.lock("airgap load"):
            for image in [work.desired.image(name) for name in names]:
                native = native_platform() if image.serves(native_platform()) else None
                bring_image(work, image, chosen or native)
                which = f" for {chosen}" if chosen else ""
                click.echo(f"Docker has {image.reference.familiar}{which}")
