"""What a forked child must not use: its parent's sockets, and locks another thread of the parent held."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class _Forkable(Protocol):
    def after_fork(self) -> None:
        """Begin anew in the child; runs before anything else does, in its only thread."""
        ...


_watched: weakref.WeakSet[_Forkable] = weakref.WeakSet()


def watch(item: _Forkable) -> None:
    """Call `item.after_fork()` in every forked child, as long as the item lives."""
    _watched.add(item)


def _in_child() -> None:
    for item in list(_watched):
        item.after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows, which cannot fork
    os.register_at_fork(after_in_child=_in_child)
