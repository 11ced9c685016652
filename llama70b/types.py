"""What is said to the endpoint and what it answers, as plain values.

Nothing here knows JSON, HTTP or a framework: the adapters convert their own messages to these values, `_wire`
writes and reads the JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool"]
"""Who speaks. Llama 3.3's chat template renders `tool` as `ipython`."""

Json = Mapping[str, Any]
"""A JSON object."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a tool, as the model wrote it.

    Attributes:
        id: The server's identifier of the call; the tool's answer repeats it.
        name: The tool's name.
        arguments: JSON text exactly as received; it may be malformed, see `parsed`.
    """

    id: str
    name: str
    arguments: str

    def parsed(self) -> dict[str, Any]:
        """Return the arguments as a dict (`{}` when the text is blank).

        Raises:
            ValueError: The text is not a JSON object (`json.JSONDecodeError` when it is not JSON at all).
        """
        if not self.arguments.strip():
            return {}
        try:
            value = json.loads(self.arguments)
        except RecursionError:
            raise ValueError(f"the arguments of {self.name!r} are nested too deeply") from None
        if not isinstance(value, dict):
            raise ValueError(f"the arguments of {self.name!r} are {type(value).__name__}, not a JSON object")
        return value


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of the conversation.

    Attributes:
        role: Who speaks.
        content: The text (the 70B reads text only).
        name: Name of the speaker, if several share a role.
        tool_calls: What an assistant turn asks for.
        tool_call_id: Which call a tool turn answers.
        reasoning: A reasoning model's thoughts; never sent back.
    """

    role: Role
    content: str = ""
    name: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    reasoning: str | None = None


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool the model may call.

    Attributes:
        name: The tool's name.
        description: What it does, in words for the model.
        parameters: JSON schema of the arguments.
        strict: Constrain the arguments to the schema. vLLM constrains the arguments only then [notes: llamaindex 3.1].
    """

    name: str
    description: str
    parameters: Json
    strict: bool = True


@dataclass(frozen=True, slots=True)
class NamedTool:
    """A `tool_choice` that forces one tool by name."""

    name: str


ToolChoice = Literal["auto", "none", "required"] | NamedTool
"""Which tools the model may or must call."""


@dataclass(frozen=True, slots=True)
class StructuredOutputs:
    """vLLM's `structured_outputs`: exactly one constraint on the whole answer.

    The removed `guided_*` request fields are ignored by vLLM since 0.12, so they are never sent.
    """

    json: Json | str | None = None
    regex: str | None = None
    choice: tuple[str, ...] | None = None
    grammar: str | None = None
    json_object: bool | None = None
    structural_tag: str | None = None

    def __post_init__(self) -> None:
        given = [name for name, value in self.as_dict().items() if value is not None]
        if len(given) != 1:
            raise ValueError(f"structured_outputs takes exactly one constraint, got {given or 'none'}")
        if self.choice is not None and not self.choice:
            raise ValueError("structured_outputs.choice is empty: give at least one string")

    def as_dict(self) -> dict[str, Any]:
        """Return all six fields by vLLM's names, the unused ones None."""
        return {
            "json": self.json,
            "regex": self.regex,
            "choice": None if self.choice is None else list(self.choice),
            "grammar": self.grammar,
            "json_object": self.json_object,
            "structural_tag": self.structural_tag,
        }


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One chat completion, streamed or not. None means "not sent": the server's default applies.

    Attributes:
        messages: The conversation; at least one turn.
        model: Served model name; None takes the endpoint's.
        temperature: Sampling temperature, 0 is greedy.
        top_p: Nucleus mass in (0, 1].
        max_tokens: Most tokens to generate.
        stop: Texts that end the answer (not part of it).
        seed: Seed of the sampler.
        n: How many answers; 1 when streaming.
        presence_penalty: In [-2, 2].
        frequency_penalty: In [-2, 2].
        logprobs: Return the log-probability of every token.
        top_logprobs: Alternatives per token.
        tools: Tools offered.
        tool_choice: Which of them may or must be called.
        parallel_tool_calls: More than one call a turn; when tools are offered None is sent as False, because
            Llama 3.3's template knows one call a turn.
        response_format: `{"type": "json_schema", ...}` or `{"type": "json_object"}`.
        structured_outputs: vLLM's regex, choice, grammar or JSON constraint.
        extra: Further fields of vLLM's request by their own names (`top_k`, `min_p`, `priority`, `cache_salt` ...).
    """

    messages: tuple[Message, ...]
    model: str | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] | None = None
    seed: int | None = None
    n: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: Json | None = None
    structured_outputs: StructuredOutputs | None = None
    extra: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer.

    Attributes:
        prompt_tokens: Tokens read, template included.
        completion_tokens: Tokens written.
        cached_tokens: Prompt tokens found in the prefix cache, None when the server does not say.
        reasoning_tokens: Written tokens that were thoughts, None when the server does not say.
    """

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None

    @property
    def total_tokens(self) -> int:
        """Tokens read and written."""
        return self.prompt_tokens + self.completion_tokens

    def as_dict(self) -> dict[str, int]:
        """Return prompt, completion and total tokens by the wire's names."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.total_tokens,
        }


@dataclass(frozen=True, slots=True)
class Logprob:
    """Log-probability of one token, with its alternatives.

    Attributes:
        token: The token's text.
        logprob: Natural logarithm of its probability.
        bytes: Its UTF-8 bytes.
        top: The alternatives asked for with `top_logprobs`, likeliest first.
    """

    token: str
    logprob: float
    bytes: tuple[int, ...] | None = None
    top: tuple[Logprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer.

    Attributes:
        index: Its number, from 0.
        message: The assistant's turn.
        finish_reason: `stop`, `length`, `tool_calls` ...
        stop_reason: vLLM: the stop text or token id that ended it, None for the model's own end.
        logprobs: One entry a token, if asked for.
    """

    index: int
    message: Message
    finish_reason: str
    stop_reason: str | int | None = None
    logprobs: tuple[Logprob, ...] | None = None


@dataclass(frozen=True, slots=True)
class Timing:
    """Where the seconds of one call went, measured by the client.

    Attributes:
        total_s: From the call to its end.
        first_token_s: To the first piece of the answer (whole answer when not streamed), None if none came.
        cold_start_s: Of these, spent waiting for the endpoint to wake.
        attempts: How often the prompt was POSTed.
    """

    total_s: float
    first_token_s: float | None
    cold_start_s: float
    attempts: int


@dataclass(frozen=True, slots=True)
class Completion:
    """A finished answer.

    Attributes:
        id: The server's id of the completion.
        model: The name it was served under.
        choices: At least one.
        usage: Token counts, None when the server left them out.
        created: Unix seconds.
        system_fingerprint: The server's own.
        metrics: vLLM's per-request metrics (milliseconds), if it reports them.
        request_id: The `X-Request-Id` we sent.
        timing: Seconds as the client saw them.
        cost: Estimate of what it cost, if the endpoint's price is known; see `llama70b.cost.answer_cost`.
        raw: The JSON object as received; for a stream, one of the same shape put together from the chunks.
    """

    id: str
    model: str
    choices: tuple[Choice, ...]
    usage: Usage | None
    created: int | None = None
    system_fingerprint: str | None = None
    metrics: Json | None = None
    request_id: str | None = None
    timing: Timing | None = None
    cost: Json | None = None
    raw: Json = field(default_factory=dict)

    @property
    def message(self) -> Message:
        """The first answer's message."""
        return self.choices[0].message

    @property
    def text(self) -> str:
        """The first answer's text."""
        return self.choices[0].message.content

    @property
    def finish_reason(self) -> str:
        """Why the first answer ended."""
        return self.choices[0].finish_reason


@dataclass(slots=True)
class ToolCallDelta:
    """A fragment of a tool call: id and name come first, then pieces of the arguments."""

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""


@dataclass(slots=True)
class Delta:
    """One event of a stream. Not frozen, because it is built once a token.

    Attributes:
        content: New text.
        reasoning: New thoughts (vLLM: `reasoning`, earlier `reasoning_content`).
        tool_calls: Fragments of tool calls.
        finish_reason: Set on the last event of the answer.
        stop_reason: vLLM's reason behind `stop`.
        usage: On the event that carries it; with cumulative counts, on the last one only.
        logprobs: Of the new tokens.
        raw: The chunk as received.
    """

    content: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCallDelta, ...] = ()
    finish_reason: str | None = None
    stop_reason: str | int | None = None
    usage: Usage | None = None
    logprobs: tuple[Logprob, ...] | None = None
    raw: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One entry of `/v1/models`.

    Attributes:
        id: The name requests use.
        max_model_len: Context window in tokens, None when the server does not say.
        root: The weights behind the name.
    """

    id: str
    max_model_len: int | None = None
    root: str | None = None


@dataclass(frozen=True, slots=True)
class TokenCount:
    """Length of a prompt in the served model's own tokens.

    Attributes:
        count: Tokens of the prompt, chat template and tools included.
        max_model_len: Context window in tokens.
    """

    count: int
    max_model_len: int | None


ColdStartState = Literal["cold", "waking", "ready", "failed"]


@dataclass(frozen=True, slots=True)
class ColdStartProgress:
    """What is known about a start that is being waited for.

    Attributes:
        state: `cold` (no container yet seen working on it), `waking`, `ready`, `failed`.
        elapsed_s: Seconds waited so far.
        estimate_s: Seconds such a start took before, None when not known.
        detail: What was last seen, for people (`503`, `303`, `connection refused` ...).
    """

    state: ColdStartState
    elapsed_s: float
    estimate_s: float | None = None
    detail: str = ""
