"""The keys that a bundle is checked with where nothing is installed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from airgap.cli._shared.settings import Settings

if TYPE_CHECKING:
    from airgap.trust.keys import PublicKey

trust_option = click.option(
    "--trust",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Check with this public key, and not with those of `airgap trust`; repeatable.",
)


def keys_for(settings: Settings, trust: Sequence[Path], folders: Sequence[Path]) -> list[PublicKey]:
    """Return the keys of `--trust`, or else those that this host trusts.

    Raises:
        TrustError: A key lies in a folder of the bundle, or none is trusted.
    """
    from airgap.trust.folder import refuse_key_in, trusted_keys
    from airgap.trust.keys import load_public

    for path in trust:
        refuse_key_in(folders, path)
    return [load_public(path) for path in trust] or list(trusted_keys(settings.trust_dir))
