"""Many calls, one wake-up: the first caller looks, the others wait for what it sees; if it gives up, another looks."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

from llama70b._ops import Context, cold_start_timeout
from llama70b.types import ColdStartProgress

Publish = Callable[[ColdStartProgress], None]


class _Round:
    """One start being waited for."""

    def __init__(self) -> None:
        self.progress: ColdStartProgress | None = None
        self.waited: float | None = None
        self.over = False


def _own_wait(leader_waited: float, since: float, context: Context) -> float:
    """Return seconds this caller waited; 0.0 only if the endpoint was serving when the leader first looked."""
    return max(context.now() - since, 1e-9) if leader_waited else 0.0


class SyncWake:
    """For callers in threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._round: _Round | None = None

    def join(
        self,
        deadline: float,
        context: Context,
        look: Callable[[Publish], float],
        tell: Callable[[ColdStartProgress], None],
    ) -> float:
        """Wait until the endpoint serves.

        Args:
            deadline: On the monotonic clock.
            context: For the clock and the error.
            look: Runs the wake flow; called if this caller is the one who looks; publishes its progress to the rest.
            tell: Told of progress if this caller is one of the rest.

        Returns:
            Seconds waited, 0.0 if the endpoint was serving at the first look.

        Raises:
            ColdStartTimeout: The deadline passed.
        """
        since = context.now()
        while True:
            with self._changed:
                current, leading = self._round, False
                if current is None:
                    current, leading = _Round(), True
                    self._round = current
            waited = self._lead(current, look) if leading else self._follow(current, deadline, since, context, tell)
            if waited is not None:
                return _own_wait(waited, since, context)

    def _lead(self, current: _Round, look: Callable[[Publish], float]) -> float:
        def publish(progress: ColdStartProgress) -> None:
            with self._changed:
                current.progress = progress
                self._changed.notify_all()

        try:
            current.waited = look(publish)
            return current.waited
        finally:
            with self._changed:
                current.over, self._round = True, None
                self._changed.notify_all()

    def _follow(
        self,
        current: _Round,
        deadline: float,
        since: float,
        context: Context,
        tell: Callable[[ColdStartProgress], None],
    ) -> float | None:
        """Return what the leader found, None if it gave up."""
        told: ColdStartProgress | None = None
        while True:
            with self._changed:
                while not current.over and current.progress is told:
                    left = deadline - context.now()
                    if left <= 0 or not self._changed.wait(left):
                        raise cold_start_timeout(context, context.now() - since)
                progress, over = current.progress, current.over
            if progress is not None and progress is not told:
                tell(progress)  # in this caller's own thread, outside the lock
                told = progress
            if over:
                return current.waited


class AsyncWake:
    """For callers in tasks of one event loop."""

    def __init__(self) -> None:
        self._round: _Round | None = None
        self._changed = asyncio.Event()

    def _announce(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def join(
        self,
        deadline: float,
        context: Context,
        look: Callable[[Publish], Awaitable[float]],
        tell: Callable[[ColdStartProgress], Awaitable[None]],
    ) -> float:
        """Wait until the endpoint serves; as `SyncWake.join`."""
        since = context.now()
        while True:
            current, leading = self._round, False
            if current is None:
                current, leading = _Round(), True
                self._round = current
            if leading:
                waited: float | None = await self._lead(current, look)
            else:
                waited = await self._follow(current, deadline, since, context, tell)
            if waited is not None:
                return _own_wait(waited, since, context)

    async def _lead(self, current: _Round, look: Callable[[Publish], Awaitable[float]]) -> float:
        def publish(progress: ColdStartProgress) -> None:
            current.progress = progress
            self._announce()

        try:
            current.waited = await look(publish)
            return current.waited
        finally:
            current.over, self._round = True, None
            self._announce()

    async def _follow(
        self,
        current: _Round,
        deadline: float,
        since: float,
        context: Context,
        tell: Callable[[ColdStartProgress], Awaitable[None]],
    ) -> float | None:
        """Return what the leader found, None if it gave up."""
        told: ColdStartProgress | None = None
        while True:
            if not current.over and current.progress is told:
                changed = self._changed
                try:
                    async with asyncio.timeout(max(0.0, deadline - context.now())):
                        await changed.wait()
                except TimeoutError:
                    raise cold_start_timeout(context, context.now() - since) from None
            if current.progress is not None and current.progress is not told:
                told = current.progress
                await tell(told)
            elif current.over:
                return current.waited
