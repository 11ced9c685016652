"""For all tests."""

from __future__ import annotations

import signal

# A shell ignores SIGINT for what it starts in the background, and children inherit that: Ctrl-C could not be tested.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
