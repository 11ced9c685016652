"""Llama 3.3's own token counts, offline: Meta's tokenizer file and the model's chat template.

The tokenizer comes with the wheel `llama-models`, of which only the file is read; tiktoken does the work.
"""

from __future__ import annotations

import functools
import importlib.util
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SPECIAL = ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
_DATE = "26 Jul 2024"  # the template's own when the server gives none; vLLM gives today's, of the same length
_TOOLS = (
    "Given the following functions, please respond with a JSON for a function call with its proper arguments that "
    'best answers the given prompt.\n\nRespond in the format {"name": function name, "parameters": dictionary of '
    "argument name and its value}.Do not use variables.\n\n"
)


class TemplateError(ValueError):
    """The chat template refuses the conversation, as it does on a server."""


def text_tokens(text: str) -> int:
    """Return how many Llama 3 tokens a text has; special tokens' names in it count as text.

    Raises:
        ImportError: `llama-models` or `tiktoken` is not installed.
    """
    return len(_encoding().encode(text, disallowed_special=()))


def prompt_tokens(messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] | None = None) -> int:
    """Return how many tokens a chat request's prompt has, template and generation header included.

    Args:
        messages: In the wire's form.
        tools: In the wire's form.

    Raises:
        TemplateError: The template refuses these turns.
        ImportError: `llama-models` or `tiktoken` is not installed.
    """
    return len(_encoding().encode(render(messages, tools), allowed_special=set(_SPECIAL)))


def render(messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] | None = None) -> str:
    """Return the prompt that Llama 3.3's chat template makes of a conversation, see `prompt_tokens`."""
    turns = list(messages)
    system = _text(turns.pop(0)) if turns and turns[0].get("role") == "system" else ""
    about = "Environment: ipython\n" if tools else ""
    about += f"Cutting Knowledge Date: December 2023\nToday Date: {_DATE}\n\n"
    prompt = "<|begin_of_text|>" + _turn("system", about + system)
    if tools:
        if not turns:
            raise TemplateError("Cannot put tools in the first user message when there's no first user message!")
        described = "".join(json.dumps(tool, indent=4, ensure_ascii=False) + "\n\n" for tool in tools)
        prompt += _turn("user", _TOOLS + described + _text(turns.pop(0)))
    return prompt + "".join(_rendered(turn) for turn in turns) + "<|start_header_id|>assistant<|end_header_id|>\n\n"


def _rendered(turn: Mapping[str, Any]) -> str:
    if "tool_calls" in turn:
        calls = list(turn["tool_calls"] or ())
        if len(calls) != 1:
            raise TemplateError("This model only supports single tool-calls at once!")
        function = calls[0]["function"]
        arguments = json.loads(function.get("arguments") or "{}")  # vLLM parses them before it renders
        call = f'{{"name": "{function["name"]}", "parameters": {json.dumps(arguments, ensure_ascii=False)}}}'
        return _turn("assistant", call)
    if turn.get("role") in {"tool", "ipython"}:
        return _turn("ipython", json.dumps(turn.get("content"), ensure_ascii=False))
    return _turn(str(turn.get("role")), _text(turn))


def _turn(role: str, text: str) -> str:
    return f"<|start_header_id|>{role}<|end_header_id|>\n\n{text}<|eot_id|>"


def _text(turn: Mapping[str, Any]) -> str:
    content = turn.get("content")
    if isinstance(content, str) or content is None:
        return (content or "").strip()
    return "\n".join(part.get("text", "") for part in content if isinstance(part, Mapping)).strip()


@functools.cache
def _encoding() -> Any:
    try:
        import tiktoken  # noqa: PLC0415 - wanted only by those who count
        from tiktoken.load import load_tiktoken_bpe  # noqa: PLC0415
    except ImportError as error:
        raise ImportError("counting Llama tokens needs tiktoken: pip install tiktoken llama-models") from error
    ranks = load_tiktoken_bpe(str(_tokenizer_file()))
    special = {name: len(ranks) + number for number, name in enumerate(_SPECIAL)}
    return tiktoken.Encoding("llama-3.3", pat_str=_PATTERN, mergeable_ranks=ranks, special_tokens=special)


def _tokenizer_file() -> Path:
    spec = importlib.util.find_spec("llama_models")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        if (found := Path(folder) / "llama3" / "tokenizer.model").is_file():
            return found
    raise ImportError("counting Llama tokens needs the tokenizer of the wheel llama-models: pip install llama-models")
