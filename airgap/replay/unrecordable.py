"""What a build must not get, because no recording can hold it or give it again."""

from __future__ import annotations

from airgap.errors import AirgapError


class UnrecordableError(AirgapError):
    """A build asked for something that cannot be recorded; the message says the way round."""
