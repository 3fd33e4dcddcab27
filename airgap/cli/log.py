"""`airgap log`."""

from __future__ import annotations

import click

from airgap.cli._shared.settings import Settings, pass_settings


@click.command(name="log")
@click.option("--json", "as_json", is_flag=True, help="Print the receipts as JSON, oldest first.")
@pass_settings
def command(settings: Settings, as_json: bool) -> None:
    """Show the install log, and check that it is complete.

    Each receipt holds the hash of the one before, and a file beside them that of the last, so that
    one that was changed or is missing is noticed: exit status 7.

    \b
    Examples:
      airgap log
      airgap log --json
    """
    from airgap.cli._shared.table import table
    from airgap.isolated.state.layout import State
    from airgap.isolated.state.rebuild_receipts import read_log
    from airgap.views.host import Receipt
    from airgap.views.view import to_json, view_of

    state = State(settings.root)
    receipt_log = read_log(state)
    receipt_log.history()  # the bundles' kept files are checked, too
    receipts = receipt_log.receipts
    if as_json:
        click.echo(to_json([view_of(Receipt, receipt) for receipt in receipts]))
        return
    if not receipts:
        click.echo(f"nothing was installed here ({state.root})")
        return
    rows = [("WHEN", "WHAT", "BUNDLE", "BY", "AIRGAP", "SIGNED BY", "VERIFIED")]
    rows += [
        (
            receipt.at,
            receipt.action,
            receipt.bundle or "-",
            receipt.by,
            receipt.tool,
            ", ".join(fingerprint[:23] for fingerprint in receipt.signers) or "-",
            receipt.verified or "-",
        )
        for receipt in receipts
    ]
    click.echo(table(rows))
