"""For all tests."""

from __future__ import annotations

import os
import signal

# The command line keeps a ledger unless told otherwise, and no test's questions belong into the user's.
os.environ.setdefault("LLAMA70B_LEDGER", "off")

# A shell ignores SIGINT for what it starts in the background, and children inherit that: Ctrl-C could not be tested.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
