"""Chat templates: from messages and tools to the prompt, as transformers and so vLLM render them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib.resources import files
from typing import Any, NoReturn

from llama70b.local._extra import load
from llama70b.local._words import Refusal

_OWN_TEMPLATE = "chat_template.jinja"


def choose_template(models_own: str) -> str:
    """Pick the template to serve a model with.

    A ChatML model whose template has no tools section gets ours, which has one; every other keeps its own.

    Args:
        models_own: The template in the model file, "" if it has none.
    """
    if "tools" not in models_own and ("<|im_start|>" in models_own or not models_own):
        return files("llama70b.local").joinpath(_OWN_TEMPLATE).read_text(encoding="utf-8")
    return models_own


class ChatTemplate:
    """A compiled chat template."""

    def __init__(self, source: str, *, bos_token: str = "", eos_token: str = "") -> None:
        """Compile in the sandbox and with the helpers that transformers gives to templates."""
        jinja2 = load("jinja2", "The local engine")
        sandbox = load("jinja2.sandbox", "The local engine")
        environment = sandbox.ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = _tojson

        def raise_exception(message: str) -> NoReturn:
            raise jinja2.exceptions.TemplateError(message)

        environment.globals.update(raise_exception=raise_exception, strftime_now=_strftime_now)
        self._template = environment.from_string(source)
        self._errors: type[Exception] = jinja2.exceptions.TemplateError
        self._tokens = {"bos_token": bos_token, "eos_token": eos_token}
        self.shows_tools = "tools" in source

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        extra: Mapping[str, Any] | None = None,
    ) -> str:
        """Return the prompt.

        Args:
            messages: The conversation, with tool calls' arguments as objects.
            tools: Tools to show.
            add_generation_prompt: End with the opening of the assistant's turn.
            extra: The request's `chat_template_kwargs`.

        Raises:
            Refusal: 400, the template refuses the conversation, or cannot show tools.
        """
        if tools and not self.shows_tools:
            raise Refusal(
                "The model's chat template has no tools section: serve a model whose template has one.", param="tools"
            )
        variables = {
            **self._tokens,
            **(extra or {}),
            "messages": list(messages),
            "tools": list(tools) if tools else None,
            "add_generation_prompt": add_generation_prompt,
        }
        try:
            return str(self._template.render(variables))
        except self._errors as error:
            raise Refusal(str(error)) from error


def _tojson(value: Any, ensure_ascii: bool = False, indent: int | None = None) -> str:
    """Plain JSON: jinja's own filter escapes for HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent)


def _strftime_now(pattern: str) -> str:
    return datetime.now().strftime(pattern)  # noqa: DTZ005  (a template asks for the machine's own date)
