"""`llama70b local`."""

from __future__ import annotations

from typing import Annotated

import typer

from llama70b.cli._common import guarded


def local(
    *,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="FILE|HUB-ID", help="A GGUF file or hub id. [default: SmolLM2-135M]"),
    ] = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")] = 0,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    api_key: Annotated[
        str | None, typer.Option("--api-key", metavar="KEY", help="Key to ask for. [default: made up]")
    ] = None,
    context_window: Annotated[int, typer.Option("--context-window", min=1, help="Tokens per request.")] = 4096,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="Processors. [default: all, 8 at most]")
    ] = None,
) -> None:
    """Serve a small model on this machine, behind the same API, until Ctrl-C.

    It prints the lines to paste into another terminal. The default model has 135 million parameters: it stands in for
    the 70B's wire, not for its answers. Exit code 0 after Ctrl-C, 1 if the engine ended by itself.

    Examples:
        llama70b local

        llama70b local --model ./qwen2.5-0.5b-instruct-q8_0.gguf --port 8000
    """
    with guarded():
        from llama70b.local import run_foreground  # noqa: PLC0415 - its parts are an extra of their own

        code = run_foreground(model, port, api_key, host=host, context_window=context_window, threads=threads, say=_say)
        raise typer.Exit(code)


def _say(line: str) -> None:
    typer.echo(line)
