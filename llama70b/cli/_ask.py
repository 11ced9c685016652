"""`llama70b ask`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from llama70b.cli._common import (
    ApiKey,
    AsJson,
    BaseUrl,
    Model,
    WakeLines,
    argument_or_stdin,
    endpoint_of,
    guarded,
    note,
    print_json,
)
from llama70b.cli._stream import stream_to_stdout
from llama70b.client import Client
from llama70b.types import ChatRequest, Completion, Message


def ask(
    prompt: Annotated[
        list[str] | None, typer.Argument(metavar="[PROMPT]...", help="The question; standard input is added to it.")
    ] = None,
    *,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
    model: Model = None,
    system: Annotated[str | None, typer.Option("--system", "-s", help="Instructions before the question.")] = None,
    max_tokens: Annotated[int | None, typer.Option("--max-tokens", min=1, help="Longest answer.")] = None,
    temperature: Annotated[float | None, typer.Option("--temperature", min=0, max=2, help="0 is greedy.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of the sampler.")] = None,
    timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", min=0.001, help="For the call once it is awake. [default: 900]")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Ask a question; the answer streams to standard output.

    A sleeping endpoint is woken first; that can take minutes and is shown on standard error.

    Examples:
        llama70b ask "Say hello"

        llama70b ask "Summarise this:" < report.txt

        git diff | llama70b ask -s "You review code." --max-tokens 300
    """
    with guarded():
        text = argument_or_stdin(prompt, "question")
        messages = (*((Message("system", system),) if system else ()), Message("user", text))
        request = ChatRequest(messages, max_tokens=max_tokens, temperature=temperature, seed=seed)
        endpoint = endpoint_of(base_url, api_key, model)
        with Client(endpoint, on_progress=WakeLines(endpoint)) as client:
            completion = stream_to_stdout(client, request, timeout, show=not as_json)
        if as_json:
            print_json(_as_dict(completion))
        elif completion.finish_reason == "length":
            note("the answer was cut off: it reached its limit of tokens (--max-tokens, or the context window)")


def _as_dict(completion: Completion) -> dict[str, Any]:
    timing = completion.timing
    return {
        "text": completion.text,
        "model": completion.model,
        "finish_reason": completion.finish_reason,
        "usage": completion.usage.as_dict() if completion.usage else None,
        "seconds": round(timing.total_s, 3) if timing else None,
        "first_token_s": round(timing.first_token_s, 3) if timing and timing.first_token_s is not None else None,
        "cold_start_s": round(timing.cold_start_s, 3) if timing else None,
        "request_id": completion.request_id,
    }
