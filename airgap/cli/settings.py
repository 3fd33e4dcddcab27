"""What the global options come to."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import click

from airgap.progress import Progress, choose_progress


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
        """The defaults: the system's folders for root or where there are any, else the user's."""
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
        """The progress observer for this process."""
        return choose_progress(quiet=self.quiet)


pass_settings = click.make_pass_decorator(Settings)
