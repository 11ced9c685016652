"""The cascade gate: whether the 8B's answer may stand, or the 70B is asked after all.

Deterministic checks first (tool call well formed, structure valid, not empty, not a refusal, not repeating itself),
then the low quantile of the margin between the two likeliest tokens over the first ones: a mean or the whole sequence's
probability is biased by length (notes/routing_usage 2c). In a stream the first tokens are held until the gate has
decided; after the first released token nothing is switched.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from llama70b.types import Logprob

_REFUSAL = re.compile(
    r"\s*(?:I(?:'m| am) sorry|I can(?:no|')t|I am unable|I'm unable|As an AI|抱歉|对不起|我无法|我不能)", re.IGNORECASE
)
_SAME = 4


@dataclass(frozen=True, slots=True)
class Gate:
    """When an answer of the 8B stands.

    Attributes:
        hold_tokens: How many tokens of a stream are held back until it is decided.
        quantile: Which quantile of the margins is looked at.
        least_margin: Least difference of log-probability between the two likeliest tokens at that quantile; needs
            `top_logprobs=2`. None looks at the deterministic checks only.
    """

    hold_tokens: int = 32
    quantile: float = 0.1
    least_margin: float | None = 0.5

    def objection(
        self,
        text: str,
        *,
        calls: Sequence[tuple[str, str]] = (),
        tools: Collection[str] = (),
        schema_required: Sequence[str] | None = None,
        margin: Sequence[float] = (),
    ) -> str | None:
        """Return why an answer may not stand, None if it may.

        Args:
            text: The 8B's answer.
            calls: Its tool calls, (name, JSON text of the arguments).
            tools: Names of the tools it was offered.
            schema_required: Required keys of the structure asked for; None if none was.
            margin: Margin of every token (`margins`), as far as known.
        """
        for name, arguments in calls:
            if name not in tools:
                return "unknown_tool"
            if _object(arguments) is None:
                return "broken_arguments"
        if calls:
            return None
        text = text.strip()
        if not text:
            return "empty"
        if schema_required is not None:
            value = _object(text)
            if value is None or any(key not in value for key in schema_required):
                return "structure"
        if _REFUSAL.match(text):
            return "refusal"
        if repeats(text):
            return "repetition"
        return self.hesitates(margin)

    def hesitates(self, margin: Sequence[float]) -> str | None:
        """Return `margin` if the model was unsure at the quantile, None if not, or if nothing is known."""
        if self.least_margin is None or not margin:
            return None
        ordered = sorted(margin[: self.hold_tokens])
        low = ordered[min(len(ordered) - 1, int(self.quantile * len(ordered)))]
        return "margin" if low < self.least_margin else None


def margins(logprobs: Sequence[Logprob] | None) -> list[float]:
    """Return, per token, the log-probability of the likeliest less that of the next; nothing where it is not known."""
    found: list[float] = []
    for entry in logprobs or ():
        top = sorted((one.logprob for one in entry.top), reverse=True)
        if len(top) > 1:
            found.append(top[0] - top[1])
    return found


def repeats(text: str) -> bool:
    """Return whether a text says the same line, or the same run of words, again and again."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if any(len(set(lines[i : i + _SAME])) == 1 for i in range(len(lines) - _SAME + 1)):
        return True
    words = text.split()
    return any(
        words[-size * _SAME :] == words[-size:] * _SAME
        for size in range(1, len(words) // _SAME + 1)
        if size <= 50  # noqa: PLR2004
    )


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
