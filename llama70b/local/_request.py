"""Request bodies in vLLM's dialect, read and checked. Pure: a JSON object in, a value or a refusal out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llama70b.local._constraint import answer_constraint, forced_call
from llama70b.local._fields import Fields
from llama70b.local._messages import ToolMode, read_messages, read_tool_choice, read_tools
from llama70b.local._sampling import Defaults, Sampling, read_sampling, read_top_logprobs
from llama70b.local._words import Refusal, invalid, unsupported

# Fields of vLLM's request that change the answer and that llama.cpp has no counterpart for, with their idle values.
_UNSUPPORTED: dict[str, tuple[Any, ...]] = {
    "use_beam_search": (None, False),
    "prompt_logprobs": (None,),
    "logprob_token_ids": (None, []),
    "stop_token_ids": (None, []),
    "allowed_token_ids": (None, []),
    "bad_words": (None, []),
    "min_tokens": (None, 0),
    "truncate_prompt_tokens": (None,),
    "echo": (None, False),
    "suffix": (None, ""),
    "thinking_token_budget": (None, -1),
    "repetition_detection": (None,),
    "documents": (None, []),
}


@dataclass(frozen=True, slots=True)
class Job:
    """One request, ready to be rendered and run.

    Attributes:
        model: The name asked for, None for whatever is served.
        prompts: `/v1/completions`: texts or lists of token ids; empty for a chat.
        messages: A chat's conversation, in the shape chat templates expect; empty otherwise.
        tools: Tools to show.
        tool_mode: Which of them may or must be called.
        tool_name: The one that must, when named.
        single_call: No more than one call.
        grammar: Constraint on the whole answer.
        sampling: How to draw tokens.
        n: Answers per prompt.
        stream: Answer in events.
        max_tokens_name: Which field the limit came from, for error texts.
        render: Options for the chat template.
        return_token_ids: Add token ids to the answer.
    """

    model: str | None
    sampling: Sampling
    prompts: tuple[str | tuple[int, ...], ...] = ()
    messages: tuple[Mapping[str, Any], ...] = ()
    tools: tuple[Mapping[str, Any], ...] = ()
    tool_mode: ToolMode = "none"
    tool_name: str | None = None
    single_call: bool = False
    grammar: str | None = None
    n: int = 1
    stream: bool = False
    max_tokens_name: str = "max_tokens"
    render: Mapping[str, Any] = field(default_factory=dict)
    return_token_ids: bool = False


def chat_job(body: Mapping[str, Any], defaults: Defaults) -> Job:
    """Read the body of `/v1/chat/completions`.

    Raises:
        Refusal: 400, in vLLM's words.
    """
    fields = _open(body)
    mode, name = read_tool_choice(body)
    tools = read_tools(body.get("tools"))
    single = fields.flag("parallel_tool_calls", default=True) is False
    limit = "max_tokens" if body.get("max_completion_tokens") is None else "max_completion_tokens"
    logprobs = fields.flag("logprobs")
    top = read_top_logprobs(body, logprobs=logprobs)
    job = Job(
        model=fields.text("model"),
        messages=read_messages(body.get("messages")),
        tools=tools,
        tool_mode=mode,
        tool_name=name,
        single_call=single,
        grammar=forced_call(tools, mode, name, single=single) or answer_constraint(body),
        sampling=read_sampling(
            fields, defaults, max_tokens=fields.integer(limit), top_logprobs=top if logprobs else None
        ),
        max_tokens_name=limit,
        render=render_options(body),
        **_delivery(body, fields),
    )
    _check_greedy(job)
    return job


def completion_job(body: Mapping[str, Any], defaults: Defaults) -> Job:
    """Read the body of `/v1/completions`; without `max_tokens` it writes 16 tokens, as vLLM does.

    Raises:
        Refusal: 400, in vLLM's words.
    """
    fields = _open(body)
    max_tokens = fields.integer("max_tokens")
    job = Job(
        model=fields.text("model"),
        prompts=_prompts(body.get("prompt")),
        grammar=answer_constraint(body),
        sampling=read_sampling(
            fields,
            defaults,
            max_tokens=16 if max_tokens is None else max_tokens,
            top_logprobs=fields.integer("logprobs"),
        ),
        **_delivery(body, fields),
    )
    _check_greedy(job)
    return job


def render_options(body: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a chat's rendering: `add_generation_prompt`, `continue_final_message`, `chat_template_kwargs`.

    Raises:
        Refusal: 400, they contradict each other or one is of the wrong type.
    """
    fields = Fields(body)
    if body.get("chat_template") is not None:
        raise unsupported("chat_template")
    if body.get("continue_final_message"):
        if body.get("add_generation_prompt"):
            raise Refusal("Cannot set both `continue_final_message` and `add_generation_prompt` to True.")
        raise unsupported("continue_final_message")
    extra = body.get("chat_template_kwargs") or {}
    if not isinstance(extra, Mapping):
        raise invalid("chat_template_kwargs", "Input should be a valid dictionary", extra)
    return {"add_generation_prompt": fields.flag("add_generation_prompt", default=True), "extra": extra}


def _open(body: Mapping[str, Any]) -> Fields:
    for name, idle in _UNSUPPORTED.items():
        if name in body and body[name] not in idle:
            raise unsupported(name)
    if body.get("stream_options") and not body.get("stream"):
        raise Refusal("Stream options can only be defined when `stream=True`.", param="stream_options")
    return Fields(body)


def _delivery(body: Mapping[str, Any], fields: Fields) -> dict[str, Any]:
    options = body.get("stream_options") or {}
    if not isinstance(options, Mapping):
        raise invalid("stream_options", "Input should be a valid dictionary", options)
    n = fields.integer("n")
    n = 1 if n is None else n
    if n < 1:
        raise Refusal(f"n must be at least 1, got {n}.")
    return {
        "n": n,
        "stream": fields.flag("stream"),
        "return_token_ids": fields.flag("return_token_ids"),
    }


def _check_greedy(job: Job) -> None:
    if job.n > 1 and job.sampling.temperature == 0:
        raise Refusal(f"n must be 1 when using greedy sampling, got {job.n}.")


def _prompts(prompt: Any) -> tuple[str | tuple[int, ...], ...]:
    if isinstance(prompt, str):
        return (prompt,)
    if not isinstance(prompt, list) or not prompt:
        raise Refusal("Either prompt or prompt_embeds must be provided and non-empty.", param="prompt")
    if all(isinstance(item, int) for item in prompt):
        return (tuple(prompt),)
    read: list[str | tuple[int, ...]] = []
    for place, item in enumerate(prompt):
        if isinstance(item, str):
            read.append(item)
        elif isinstance(item, list) and item and all(isinstance(token, int) for token in item):
            read.append(tuple(item))
        else:
            raise invalid(f"prompt.{place}", "Input should be a valid string or list of token ids", item)
    return tuple(read)
