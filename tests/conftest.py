"""What holds for all tests: no verdict hangs on how busy the machine is, or on who starts them."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

# A script's shell has what it runs in the background (`make test &`) ignore Ctrl-C, and whatever
# that starts inherits it: commands that tests interrupt would continue.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def state_of_the_workstation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What unfinished bundles leave on the workstation does not stay with whoever runs tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield
