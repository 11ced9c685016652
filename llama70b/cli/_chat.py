"""`llama70b chat`: a conversation in the terminal."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from llama70b.acceptance import printable
from llama70b.cli._common import ApiKey, BaseUrl, Model, WakeLines, endpoint_of, guarded, note, report
from llama70b.cli._stream import stream_to_stdout
from llama70b.client import Client
from llama70b.errors import ContextOverflow, Llama70BError
from llama70b.types import ChatRequest, Completion, Message

_HELP = "/clear forgets the conversation, /system TEXT sets instructions, /save FILE writes it as JSON, /exit ends."


def chat(
    *,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
    model: Model = None,
    system: Annotated[str | None, typer.Option("--system", "-s", help="Instructions for the whole talk.")] = None,
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1, help="Longest answer.")] = 512,
    temperature: Annotated[float | None, typer.Option("--temperature", min=0, max=2, help="0 is greedy.")] = None,
) -> None:
    r"""Talk with the model; answers stream, the conversation is remembered.

    When the conversation has grown over the context window its oldest turns are forgotten, and that is said. Ctrl-C
    stops an answer, Ctrl-D or /exit ends the talk. Lines beginning with / are commands: /clear, /system TEXT,
    /save FILE, /exit. From a pipe every line is one question.

    Examples:
        llama70b chat

        llama70b chat -s "Answer in Chinese." --max-tokens 200

        printf 'My name is Ada.\nWhat is my name?\n' | llama70b chat
    """
    with guarded():
        endpoint = endpoint_of(base_url, api_key, model)
        talk = _Talk(max_tokens, temperature, system)
        if sys.stdin.isatty():
            import readline  # noqa: F401, PLC0415 - gives input() its line editing and history

            note(f"{printable(endpoint.model)} at {printable(endpoint.base_url)}. {_HELP}")
        with Client(endpoint, on_progress=WakeLines(endpoint)) as client:
            while (line := _read()) is not None:
                if line and not talk.obey(line):
                    talk.answer(client, line)


def _read() -> str | None:
    """One line of the user's; None at the end."""
    try:
        line = input("> " if sys.stdin.isatty() else "").strip()
    except EOFError:
        return None
    except KeyboardInterrupt:  # on an empty prompt Ctrl-C leaves, as in a shell's own programs
        sys.stdout.write("\n")
        return None
    return None if line in {"/exit", "/quit"} else line


@dataclass
class _Talk:
    """The conversation so far."""

    max_tokens: int
    temperature: float | None
    system: str | None
    turns: list[Message] = field(default_factory=list)

    def obey(self, line: str) -> bool:
        """Carry out a command; False if the line is none."""
        if not line.startswith("/"):
            return False
        command, _, argument = line.partition(" ")
        match command:
            case "/clear":
                self.turns.clear()
                note("forgotten")
            case "/system":
                self.system = argument.strip() or None
                note("instructions set" if self.system else "no instructions")
            case "/save" if argument.strip():
                self._save(Path(argument.strip()))
            case _:
                note(_HELP)
        return True

    def answer(self, client: Client, question: str) -> None:
        """Ask; a failed or stopped question is forgotten, so that the talk can go on."""
        before = len(self.turns)
        self.turns.append(Message("user", question))
        try:
            completion = self._ask(client)
        except KeyboardInterrupt:
            if not sys.stdin.isatty():
                raise
            note("stopped")
        except Llama70BError as error:
            if not sys.stdin.isatty():
                raise
            report(error)
        else:
            self.turns.append(Message("assistant", completion.text))
            _say_figures(completion)
            return
        del self.turns[before:]

    def _ask(self, client: Client) -> Completion:
        """Ask, without the oldest turns if they do not fit."""
        while True:
            try:
                return stream_to_stdout(client, self._request(), show=True)
            except ContextOverflow:
                # A question and its answer go together; the question just asked must stay.
                if len(self.turns) < 3:  # noqa: PLR2004 - one pair and the question
                    raise
                del self.turns[:2]
                note("the conversation has outgrown the context window: its oldest turn is forgotten")

    def _request(self) -> ChatRequest:
        head = (Message("system", self.system),) if self.system else ()
        return ChatRequest((*head, *self.turns), max_tokens=self.max_tokens, temperature=self.temperature)

    def _save(self, path: Path) -> None:
        messages = [{"role": message.role, "content": message.content} for message in self._request().messages]
        try:
            path.write_text(json.dumps(messages, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            note(f"cannot write {printable(str(path))}: {error.strerror}")
        else:
            note(f"written to {printable(str(path))}")


def _say_figures(completion: Completion) -> None:
    usage, timing = completion.usage, completion.timing
    if not sys.stderr.isatty() or usage is None or timing is None:
        return
    cut = ", cut off by --max-tokens or the window" if completion.finish_reason == "length" else ""
    note(f"{usage.prompt_tokens} + {usage.completion_tokens} tokens, {timing.total_s:.1f} s{cut}")
