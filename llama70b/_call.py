"""One chat, from its request to its answer or error: what the blocking and the awaiting client share of it. No I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from llama70b._cost import answer_cost
from llama70b._flow import CallFlow
from llama70b._ops import Context
from llama70b._recording import Recording
from llama70b.types import Completion, Timing

OnInterrupt = Literal["raise", "return"]
"""What becomes of a stream that is cut off: an error that carries what had arrived, or an answer made of it."""


@dataclass(frozen=True, slots=True)
class Call:
    """A chat under way.

    Attributes:
        context: What its flow knows of the world.
        flow: Its policy.
        started: When it began, on the monotonic clock.
        recording: For the recorder, None if there is none.
        on_interrupt: See `OnInterrupt`.
    """

    context: Context
    flow: CallFlow
    started: float
    recording: Recording | None
    on_interrupt: OnInterrupt

    def cost(self, timing: Timing) -> dict[str, Any] | None:
        """Return what the answer cost, None if nobody said what the container costs."""
        price = self.context.endpoint.price_per_hour
        return None if price is None else answer_cost(timing, price)

    def answered(self, answer: Completion) -> None:
        """Record the answer."""
        if self.recording is not None:
            self.recording.answered(answer)

    def failed(self, error: BaseException) -> None:
        """Record what came instead of an answer."""
        if self.recording is not None:
            self.recording.failed(error)
