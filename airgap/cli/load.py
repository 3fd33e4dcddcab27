"""`airgap load`."""

from __future__ import annotations

import click

from airgap.cli.settings import Settings, pass_settings


@click.command(name="load")
@click.argument("names", metavar="NAME…", nargs=-1, required=True)
@pass_settings
def command(settings: Settings, names: tuple[str, ...]) -> None:
    """Bring images of the mirror into Docker's own store, as plain docker build needs them.

    NAME is an image of an installed bundle. With containerd's image store Docker takes all of its
    platforms, with the classic store one: this host's, if the image has it.

    \b
    Example:
      airgap load arm64v8/alpine multiarch/qemu-user-static:x86_64-aarch64
    """
    from airgap.isolated.host import User
    from airgap.isolated.state import State
    from airgap.isolated.status import standing_work
    from airgap.isolated.steps.load import load_image

    with settings.progress() as progress:
        state = State(settings.root)
        work = standing_work(state, User.behind_this_process(), progress)
        work.engine.check()
        with state.lock("airgap load"):
            for image in [work.wanted.image(name) for name in names]:
                if not work.engine_id(image):
                    load_image(work, image)
                click.echo(f"Docker has {image.reference.familiar}")
