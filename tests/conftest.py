"""What holds for all tests: no verdict hangs on how busy the machine is, or on who starts them."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")

# A script's shell has what it runs in the background (`make test &`) ignore Ctrl-C, and whatever
# that starts inherits it: commands that tests interrupt would go on.
signal.signal(signal.SIGINT, signal.default_int_handler)
