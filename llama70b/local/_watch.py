"""A process that ends with its owner, however the owner ends."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, TextIO

_LOOK_S = 1.0


def receive_orders() -> dict[str, Any]:
    """Read the first line of standard input: the settings, keys among them, which no process list shows there."""
    orders: dict[str, Any] = json.loads(sys.stdin.readline())
    return orders


def claim_stdout() -> TextIO:
    """Keep standard output for our own messages; whatever libraries print there goes to standard error."""
    sys.stdout.flush()
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    return channel


def end_with_owner(clean_up: Callable[[], None]) -> None:
    """Leave this process as soon as its owner is gone. Ctrl-C is the owner's business, not ours.

    The owner holds the other end of standard input and never closes it while it lives, so the end of input means that
    it is gone, also after kill -9. A fork of the owner may hold that end too: hence the look at the parent's id.

    Args:
        clean_up: Called first; must not block for long.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    owner = os.getppid()
    leaving = threading.Lock()

    def leave() -> None:
        if leaving.acquire(blocking=False):
            clean_up()
            os._exit(0)  # llama.cpp's threads and the event loop hold nothing that needs an orderly end

    def listen() -> None:
        while os.read(0, 4096):
            pass
        leave()

    def look() -> None:
        gone = threading.Event()
        while os.getppid() == owner:
            gone.wait(_LOOK_S)
        leave()

    threading.Thread(target=listen, name="owner-pipe", daemon=True).start()
    if os.name == "posix":  # elsewhere the parent's id outlives the parent
        threading.Thread(target=look, name="owner-id", daemon=True).start()
