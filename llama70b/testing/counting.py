"""The scripted server with real token counts: it refuses what vLLM 0.32 refuses for Llama 3.3, and counts usage."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from llama70b.testing.scripted import WINDOW, Answer, Raw, Request, ScriptedServer, error
from llama70b.testing.tokens import TemplateError, prompt_tokens, text_tokens


class CountingServer(ScriptedServer):
    """A `ScriptedServer` that looks at every chat request as vLLM does before it answers.

    It answers 400 to prompts over the window, to `max_tokens` over it, to turns that Llama's template refuses (several
    tool calls in one), to `tool_choice` without tools, to empty `tools`, to pictures, to `uniqueItems` in a schema and
    to a negative temperature. Usage counts the tokens of the prompt and of the answer as they are; an `Answer` without
    usage stays without.

    Args:
        window: Most tokens of prompt and answer together.
        clamp: Cut `max_tokens` silently to what is left, as vLLM does; False refuses instead, as older ones did.
        require_key: Answer 401 to other keys.
    """

    def __init__(self, *, window: int = WINDOW, clamp: bool = True, require_key: bool = True) -> None:
        super().__init__(require_key=require_key)
        self.clamp = clamp
        self.prompts: list[int] = []
        """Tokens of every prompt answered, in order."""
        self.refused: list[str] = []
        """What was said to every request refused."""
        self._window = window
        self.set_window(window)

    def set_window(self, window: int) -> None:
        """Serve with another window from now on, and say so in `/v1/models`."""
        self._window = window
        listing = self.routes["/v1/models"]
        assert isinstance(listing, Raw)
        entries = [{**entry, "max_model_len": window} for entry in listing.body["data"]]
        self.routes["/v1/models"] = Raw(200, {"object": "list", "data": entries})
        self.routes["/tokenize"] = self._count

    def next_answer(self, request: Request) -> Answer | Raw:
        """Return the script's answer, with true usage."""
        answer = super().next_answer(request)
        if not isinstance(answer, Answer) or answer.usage is None:
            return answer
        prompt = self._prompt(request.body)
        self.prompts.append(prompt)
        return replace(answer, usage=(prompt, _written(answer)))

    def refusal(self, request: Request) -> Raw | None:
        """Return vLLM's 400 for a request it cannot serve."""
        try:
            said = self._objection(request.body)
        except TemplateError as refused:
            said = str(refused), None
        if said is None:
            return None
        self.refused.append(said[0])
        return error(400, said[0], param=said[1])

    def _objection(self, body: dict[str, Any]) -> tuple[str, str | None] | None:
        tools = body.get("tools")
        if body.get("tool_choice") is not None and tools is None:
            return "When using `tool_choice`, `tools` must be set. (parameter=tool_choice)", "tool_choice"
        if tools is not None and not tools:
            return "`tools` must not be an empty array. (parameter=tools)", "tools"
        if (body.get("temperature") or 0) < 0:
            return (
                f"temperature must be non-negative, got {body['temperature']}. (parameter=temperature)",
                "temperature",
            )
        if _pictures(body):
            return f"{body.get('model')} is not a multimodal model", None
        if '"uniqueItems"' in json.dumps(body.get("response_format")):
            return 'Grammar error: Unimplemented keys: ["uniqueItems"]', None
        return self._overflow(self._prompt(body), body.get("max_tokens") or body.get("max_completion_tokens"))

    def _overflow(self, prompt: int, wanted: int | None) -> tuple[str, str] | None:
        if wanted is not None and wanted > self._window:
            said = f"max_tokens={wanted} cannot be greater than max_model_len={self._window}."
            return f"{said} Please request fewer output tokens. (parameter=max_tokens, value={wanted})", "max_tokens"
        total = prompt + (1 if self.clamp else wanted or 1)
        if total <= self._window:
            return None
        said = f"This model's maximum context length is {self._window} tokens. However, "
        if prompt >= self._window:
            said += (
                f"your prompt contains at least {prompt} input tokens. Please reduce the length of the input prompt."
            )
        else:
            said += f"you requested {total - prompt} output tokens and your prompt contains {prompt} input tokens, "
            said += f"for a total of at least {total} tokens."
        return f"{said} (parameter=input_tokens, value={prompt})", "input_tokens"

    @staticmethod
    def _prompt(body: dict[str, Any]) -> int:
        return prompt_tokens(body.get("messages") or (), body.get("tools"))

    def _count(self, request: Request) -> Raw:
        body = request.body
        count = self._prompt(body) if "messages" in body else text_tokens(str(body.get("prompt", "")))
        return Raw(200, {"count": count, "max_model_len": self._window, "tokens": list(range(count))})


def _written(answer: Answer) -> int:
    calls = "".join(name + arguments for _, name, arguments in answer.calls())
    text = answer.content or "".join(answer.pieces or ())
    return text_tokens(text + answer.reasoning + calls) + 1  # the token that ends the turn


def _pictures(body: dict[str, Any]) -> bool:
    contents = [message.get("content") for message in body.get("messages") or ()]
    return any(
        isinstance(part, dict) and part.get("type") not in {None, "text"}
        for content in contents
        if isinstance(content, list)
        for part in content
    )
