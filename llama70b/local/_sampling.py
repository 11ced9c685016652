"""How to draw the next token: vLLM's parameters, their defaults and their ranges. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llama70b.local._fields import Fields
from llama70b.local._words import Refusal, invalid


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a request that names none gets, as vLLM takes it from the model's `generation_config.json`."""

    temperature: float
    top_p: float
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to draw the next token, by vLLM's names."""

    temperature: float
    top_p: float
    top_k: int
    min_p: float
    repetition_penalty: float
    presence_penalty: float
    frequency_penalty: float
    seed: int | None
    stop: tuple[str, ...]
    keep_stop: bool
    max_tokens: int | None
    ignore_eos: bool
    logit_bias: Mapping[int, float]
    top_logprobs: int | None  # None: none asked for


def read_top_logprobs(body: Mapping[str, Any], *, logprobs: bool) -> int:
    top = body.get("top_logprobs")
    if top is None:
        return 0
    if isinstance(top, bool) or not isinstance(top, int):
        raise Refusal("`top_logprobs` must be an integer.", param="top_logprobs", value=top)
    if top < 0:
        raise Refusal("`top_logprobs` must be a positive value or -1.", param="top_logprobs", value=top)
    if top and not logprobs:
        raise Refusal("when using `top_logprobs`, `logprobs` must be set to true.", param="top_logprobs")
    return top


def read_sampling(fields: Fields, defaults: Defaults, *, max_tokens: int | None, top_logprobs: int | None) -> Sampling:
    def number(name: str, default: float) -> float:
        value = fields.number(name)
        return default if value is None else value

    top_k = fields.integer("top_k")
    sampling = Sampling(
        temperature=number("temperature", defaults.temperature),
        top_p=number("top_p", defaults.top_p),
        top_k=defaults.top_k if top_k is None else top_k,
        min_p=number("min_p", defaults.min_p),
        repetition_penalty=number("repetition_penalty", defaults.repetition_penalty),
        presence_penalty=number("presence_penalty", 0.0),
        frequency_penalty=number("frequency_penalty", 0.0),
        seed=fields.integer("seed"),
        stop=fields.texts("stop"),
        keep_stop=fields.flag("include_stop_str_in_output"),
        max_tokens=max_tokens,
        ignore_eos=fields.flag("ignore_eos"),
        logit_bias=_logit_bias(fields.body.get("logit_bias")),
        top_logprobs=top_logprobs,
    )
    _check_ranges(sampling)
    return sampling


def _logit_bias(bias: Any) -> dict[int, float]:
    if bias is None:
        return {}
    if not isinstance(bias, Mapping):
        raise invalid("logit_bias", "Input should be a valid dictionary", bias)
    faulty = [token for token in bias if not token.lstrip("-").isdecimal()]
    if faulty:
        problem = f"logit_bias contains key(s) that cannot be converted to integer token IDs: {faulty!r}"
        raise Refusal(problem, param="logit_bias", value=faulty)
    read = Fields(bias)
    # vLLM clips a bias to [-100, 100].
    return {int(token): min(100.0, max(-100.0, read.number(token) or 0.0)) for token in bias}


_MOST_PENALTY = 2.0
_MOST_TEMPERATURE = 2.0
_MOST_LOGPROBS = 20  # vLLM's own default of --max-logprobs


def _check_ranges(s: Sampling) -> None:
    """Refuse what vLLM's `SamplingParams._verify_args` refuses, in its words."""
    for name, penalty in (("presence_penalty", s.presence_penalty), ("frequency_penalty", s.frequency_penalty)):
        if abs(penalty) > _MOST_PENALTY:
            raise Refusal(f"{name} must be in [-2, 2], got {penalty}.")
    if s.repetition_penalty <= 0:
        raise Refusal(f"repetition_penalty must be greater than zero, got {s.repetition_penalty}.")
    if s.temperature < 0:
        problem = f"temperature must be non-negative, got {s.temperature}."
        raise Refusal(problem, param="temperature", value=s.temperature)
    if s.temperature > _MOST_TEMPERATURE:
        problem = f"temperature must be in [0, 2], got {s.temperature}."
        raise Refusal(problem, param="temperature", value=s.temperature)
    if not 0 < s.top_p <= 1:
        raise Refusal(f"top_p must be in (0, 1], got {s.top_p}.", param="top_p", value=s.top_p)
    if s.top_k < -1:
        raise Refusal(f"top_k must be 0 (disable), or at least 1, got {s.top_k}.")
    if not 0 <= s.min_p <= 1:
        raise Refusal(f"min_p must be in [0, 1], got {s.min_p}.")
    if s.max_tokens is not None and s.max_tokens < 1:
        problem = f"max_tokens must be at least 1, got {s.max_tokens}."
        raise Refusal(problem, param="max_tokens", value=s.max_tokens)
    if "" in s.stop:
        raise Refusal("stop cannot contain an empty string.")
    if s.top_logprobs is not None and s.top_logprobs > _MOST_LOGPROBS:
        problem = f"Requested sample logprobs of {s.top_logprobs}, which is greater than max allowed: {_MOST_LOGPROBS}"
        raise Refusal(problem, param="logprobs", value=s.top_logprobs)
