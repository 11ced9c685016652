"""Notice an answer that was granted fewer tokens than were asked for."""

from __future__ import annotations

import logging

from llama70b.types import Completion

_LOG = logging.getLogger("llama70b")


def granted(completion: Completion, max_tokens: int | None) -> int | None:
    """Return how many tokens the server allowed the answer, if it was cut for fewer than were asked.

    vLLM shrinks `max_tokens` to what the prompt leaves of the window and says nothing (measured on 0.32: 200 asked,
    45 granted, finish_reason "length"). Logged as a warning, because the answer then ends in the middle.

    Args:
        completion: A whole answer.
        max_tokens: What the request asked for, None when it asked for no limit.

    Returns:
        Tokens granted; None when the answer was not cut, or at the limit asked for, or usage is not known for it alone.
    """
    usage = completion.usage
    if max_tokens is None or usage is None or len(completion.choices) != 1:
        return None
    written = usage.completion_tokens
    if completion.choices[0].finish_reason != "length" or not 0 < written < max_tokens:
        return None
    _LOG.warning(
        "max_tokens=%d was cut to %d: the prompt has %d tokens and the context window %d. The answer ends in the "
        "middle; shorten the prompt, or ask for less",
        max_tokens,
        written,
        usage.prompt_tokens,
        usage.total_tokens,
    )
    return written
