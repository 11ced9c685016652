"""An answer that streams to standard output, for `ask` and `chat`."""

from __future__ import annotations

import sys

from llama70b.acceptance import printable
from llama70b.client import Client
from llama70b.types import ChatRequest, Completion


def stream_to_stdout(client: Client, request: ChatRequest, timeout: float | None = None, *, show: bool) -> Completion:
    """Ask, write the answer as it comes, and end its last line.

    Args:
        client: Whom to ask.
        request: What.
        timeout: Seconds for the call once the endpoint is awake.
        show: Whether to write it.

    Returns:
        The whole answer.
    """
    terminal = sys.stdout.isatty()
    ends_line = True
    with client.stream(request, timeout=timeout) as stream:
        try:
            for delta in stream:
                if show and delta.content:
                    # A terminal obeys control characters, so a model's do not reach it; a pipe gets them as they are.
                    sys.stdout.write(printable(delta.content) if terminal else delta.content)
                    sys.stdout.flush()
                    ends_line = delta.content.endswith("\n")
        finally:
            if show and not ends_line:
                sys.stdout.write("\n")
                sys.stdout.flush()
    assert stream.completion is not None  # the stream ended without an error
    return stream.completion
