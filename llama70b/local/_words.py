"""vLLM's error answers: shapes and words of its 0.32 release, so that a client meets one dialect.

Read from `vllm/entrypoints/serve/exception_handling` and the places that raise.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

LOADING: dict[str, Any] = {
    "error": {"message": "Loading model", "type": "unavailable_error", "code": 503},
}
"""What llama.cpp answers on every path while it loads; vLLM's port is closed then, so it has no words for it."""

UNAUTHORIZED: dict[str, Any] = {"error": "Unauthorized"}
"""vLLM answers 401 with a string where an object is expected."""


_MOST_SHOWN = 200  # characters of an offending value that are repeated, as in vLLM


class Refusal(Exception):
    """A request that is answered with an error object.

    Attributes:
        status: HTTP status.
        body: The JSON object to send.
    """

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        value: object = None,
        status: int = 400,
        kind: str = "BadRequestError",
    ) -> None:
        """Word a refusal as vLLM's `VLLMValidationError` does: the parameter and its value follow the message."""
        extras = ([] if param is None else [f"parameter={param}"]) + ([] if value is None else [f"value={value}"])
        text = f"{message} ({', '.join(extras)})" if extras and status == HTTPStatus.BAD_REQUEST else message.strip()
        super().__init__(text)
        self.status = status
        self.body: dict[str, Any] = {"error": {"message": text, "type": kind, "param": param, "code": status}}


def invalid(path: str, problem: str, value: object = None) -> Refusal:
    """A field of the wrong type, in the words of a pydantic validation error.

    Args:
        path: Dotted place in the body, such as `messages.0.content`.
        problem: What pydantic says, such as "Input should be a valid integer".
        value: The offending value; only its beginning is repeated.
    """
    shown = repr(value)
    shown = shown if len(shown) <= _MOST_SHOWN else f"{shown[:_MOST_SHOWN]}...[truncated]"
    place = f"body.{path}".rstrip(".")
    text = f"1 validation error:\n  {{'loc': '{place}', 'msg': '{problem}', 'input': {shown}}}"
    refusal = Refusal(text, kind=HTTPStatus.BAD_REQUEST.phrase)
    refusal.body["error"]["param"] = place
    return refusal


def unknown_model(model: str, served: tuple[str, ...]) -> Refusal:
    """404 for a model that is not served; lists what is."""
    return Refusal(
        f"The model `{model}` does not exist. Valid aliases: {', '.join(served)}.",
        param="model",
        status=404,
        kind="NotFoundError",
    )


def overflow(prompt_tokens: int, max_model_len: int) -> Refusal:
    """400 for a prompt that leaves no room for an answer."""
    return Refusal(
        f"This model's maximum context length is {max_model_len} tokens. However, your prompt contains "
        f"{prompt_tokens} input tokens, which exceeds this limit even without any output tokens. "
        "Please reduce the length of the input prompt.",
        param="input_tokens",
        value=prompt_tokens,
    )


def too_many_output_tokens(name: str, asked: int, max_model_len: int) -> Refusal:
    """400 for a `max_tokens` above the whole window (one above the remainder is cut silently, as vLLM does)."""
    return Refusal(
        f"{name}={asked} cannot be greater than max_model_len={max_model_len}. Please request fewer output tokens.",
        param=name,
        value=asked,
    )


def strange_tokens(tokens: list[int], vocabulary: int) -> Refusal:
    """400 for a `logit_bias` of tokens that do not exist."""
    return Refusal(
        f"token_id(s) {tokens} in logit_bias contain out-of-vocab token ids. Vocabulary size: {vocabulary}",
        param="logit_bias",
        value=tokens,
    )


def unsupported(name: str) -> Refusal:
    """400 for a field that vLLM has and this engine cannot honour: refused, never ignored."""
    return Refusal(f"`{name}` is not supported by the local engine: leave it out.", param=name)


def engine_failed(message: str) -> Refusal:
    """500 when llama.cpp failed."""
    return Refusal(message, status=500, kind="InternalServerError")
