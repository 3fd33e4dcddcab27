"""`airgap keygen`."""

from __future__ import annotations

from pathlib import Path

import click

from airgap.trust.keys import ALGORITHMS, generate, write_new_pair


@click.command(name="keygen")
@click.argument("name", type=click.Path(path_type=Path))
@click.option(
    "--algorithm",
    type=click.Choice(ALGORITHMS),
    default=ALGORITHMS[0],
    show_default=True,
    help="Every openssl checks the default; ed25519 needs OpenSSL 3 on the hosts.",
)
@click.option(
    "--passphrase/--no-passphrase",
    "ask",
    default=False,
    help="Ask for a passphrase to encrypt NAME.key with [default: no passphrase].",
)
@click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Take the passphrase from a file's first line.",
)
def command(name: Path, algorithm: str, ask: bool, passphrase_file: Path | None) -> None:
    """Make a key pair: NAME.key signs bundles, NAME.pub checks.

    Compare the fingerprint that it prints with the one that airgap trust add prints on a host.

    \b
    Examples:
      airgap keygen site
      airgap keygen site --passphrase
    """
    passphrase = read_passphrase(passphrase_file)
    if passphrase is None and ask:
        passphrase = click.prompt("Passphrase", hide_input=True, confirmation_prompt=True).encode()
    key = generate(name.name, algorithm)
    private, public = write_new_pair(key, name, passphrase)
    click.echo(f"{private}  (private: keep it here, mode 0600)")
    click.echo(f"{public}  (public: give it to the hosts, another way than the bundles)")
    click.echo(f"fingerprint {key.public.fingerprint}")


def read_passphrase(path: Path | None) -> bytes | None:
    """Return the first line of a file, if one is named."""
    if path is None:
        return None
    return path.read_bytes().partition(b"\n")[0] or None
