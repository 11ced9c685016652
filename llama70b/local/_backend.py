"""The llama.cpp server behind the front: one asynchronous HTTP client on the loopback interface."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import httpx

from llama70b._sse import SSEDecoder
from llama70b.local._sampling import Sampling
from llama70b.local._words import Refusal, engine_failed

_UINT32 = 2**32


def payload(
    prompt: Sequence[int], sampling: Sampling, *, grammar: str | None, answer: int, most: int
) -> dict[str, Any]:
    """The body of llama.cpp's `/completion`.

    Args:
        prompt: Token ids.
        sampling: How to draw tokens.
        grammar: Constraint on the answer.
        answer: Number of this answer under `n`; each gets a seed of its own.
        most: Most tokens to write.
    """
    body: dict[str, Any] = {
        "prompt": list(prompt),
        "n_predict": most,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": max(sampling.top_k, 0),
        "min_p": sampling.min_p,
        "repeat_penalty": sampling.repetition_penalty,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        # vLLM's order: llama.cpp's own cuts the nucleus before the temperature has sharpened the distribution.
        "samplers": ["penalties", "temperature", "min_p", "top_k", "top_p"],
        "repeat_last_n": len(prompt) + most,  # penalties look at everything, as vLLM's do
        "stop": list(sampling.stop),
        "ignore_eos": sampling.ignore_eos,
        "logit_bias": [[token, bias] for token, bias in sampling.logit_bias.items()],
        "stream": True,
        "return_tokens": True,
        "cache_prompt": True,
    }
    if sampling.seed is not None:
        # llama.cpp's seeds have 32 bits and the last of them means "random".
        body["seed"] = (sampling.seed + answer) % (_UINT32 - 1)
    if sampling.top_logprobs is not None:
        body["n_probs"] = max(sampling.top_logprobs, 1)
    if grammar is not None:
        body["grammar"] = grammar
    return body


class LlamaCpp:
    """A running llama.cpp server.

    Requests are not limited here: llama.cpp queues what its slots do not hold. Closing a stream early ends the
    generation, because llama.cpp watches the connection.
    """

    def __init__(self, url: str, key: str) -> None:
        """Connect to `url` with llama.cpp's own key."""
        self._http = httpx.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=httpx.Timeout(None, connect=10.0),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=8),
            trust_env=False,  # a proxy from the environment must not see loopback traffic
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def props(self) -> dict[str, Any]:
        """Facts about the model: chat template, special tokens, window of a slot, build."""
        answer = await self._http.get("/props")
        answer.raise_for_status()
        facts: dict[str, Any] = answer.json()
        return facts

    async def vocabulary(self) -> int:
        """Number of tokens the model knows."""
        answer = await self._http.get("/v1/models")
        answer.raise_for_status()
        return int(answer.json()["data"][0]["meta"]["n_vocab"])

    async def alive(self) -> bool:
        """Whether llama.cpp answers."""
        try:
            return (await self._http.get("/health", timeout=5.0)).is_success
        except httpx.HTTPError:
            return False

    async def tokenize(self, text: str, *, add_special: bool = False) -> list[int]:
        """Token ids of a text in which special tokens count as such."""
        body = {"content": text, "add_special": add_special, "parse_special": True}
        tokens: list[int] = (await self._post("/tokenize", body))["tokens"]
        return tokens

    async def pieces(self, tokens: Sequence[int]) -> list[str]:
        """The text of each token."""
        texts = [(await self._post("/detokenize", {"tokens": [token]}))["content"] for token in tokens]
        return [str(text) for text in texts]

    async def detokenize(self, tokens: Sequence[int]) -> str:
        """The text of token ids."""
        return str((await self._post("/detokenize", {"tokens": list(tokens)}))["content"])

    async def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        try:
            answer = await self._http.post(path, json=body)
        except httpx.HTTPError as error:
            raise engine_failed(f"llama.cpp did not answer: {type(error).__name__}") from error
        parsed: dict[str, Any] = answer.json()
        if not answer.is_success:
            raise _refusal(parsed)
        return parsed

    async def complete(self, body: Mapping[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Generate: llama.cpp's events as they come.

        Raises:
            Refusal: llama.cpp refused the request or failed.
        """
        try:
            async with self._http.stream("POST", "/completion", json=body) as answer:
                if not answer.is_success:
                    raise _refusal(json.loads(await answer.aread()))
                decoder = SSEDecoder()
                async for chunk in answer.aiter_raw():
                    for kind, data in decoder.feed(chunk):
                        event: dict[str, Any] = json.loads(data)
                        if kind == "error" or "error" in event:
                            raise _refusal(event)
                        yield event
        except httpx.HTTPError as error:
            raise engine_failed(f"llama.cpp stopped answering: {type(error).__name__}") from error


def _refusal(body: Mapping[str, Any]) -> Refusal:
    error = body.get("error", body)
    message, status = str(error.get("message", error)), int(error.get("code", 500))
    if "grammar" in message:
        return Refusal(f"Grammar error: {message}")
    return Refusal(message) if httpx.codes.is_client_error(status) else engine_failed(message)
