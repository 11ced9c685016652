"""A closed-loop streaming client: N callers, each sends its next request when the last one has ended."""

import asyncio
import json
import random
import statistics
import string
import time
from dataclasses import dataclass, field
from typing import Any

import aiohttp


@dataclass
class Sample:
    """One request's times, in seconds since the round began."""

    start: float
    first: float = 0.0
    end: float = 0.0
    prompt_tokens: int = 0
    tokens: int = 0
    gaps: list[float] = field(default_factory=list)


def prompt(length: int) -> str:
    """Random letters, so that no two requests share a cached prefix beyond the template's own."""
    return "".join(random.choices(string.ascii_lowercase + " ", k=length))


class Client:
    """Talks to one server.

    Args:
        url: Base URL with `/v1`.
        model: Served name.
        prompt_tokens: Prompt length aimed at, template included.
        output_tokens: Tokens generated per request; the end of text is ignored.
    """

    def __init__(self, url: str, model: str, *, prompt_tokens: int = 200, output_tokens: int = 256) -> None:
        self.url, self.model, self.output_tokens = url, model, output_tokens
        self._target, self._letters = prompt_tokens, 32

    async def calibrate(self, session: aiohttp.ClientSession) -> None:
        """Choose the prompt's letters so that prompt and template together have the length aimed at."""
        sample = await self.request(session, 0.0, tokens=1)
        self._letters = max(1, self._letters + self._target - sample.prompt_tokens)

    async def request(self, session: aiohttp.ClientSession, zero: float, tokens: int | None = None) -> Sample:
        """Send one request and time its tokens."""
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": prompt(self._letters)}],
            "max_tokens": tokens or self.output_tokens,
            "temperature": 1.0,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        sample = Sample(time.perf_counter() - zero)
        last = 0.0
        async with session.post(f"{self.url}/chat/completions", json=body) as answer:
            answer.raise_for_status()
            rest = b""
            async for chunk in answer.content.iter_any():
                now = time.perf_counter() - zero
                *lines, rest = (rest + chunk).split(b"\n")  # never splitlines: random text holds U+2028 and friends
                for line in lines:
                    if not line.startswith(b"data: {"):
                        continue
                    event = json.loads(line[6:])
                    if event.get("error"):
                        raise RuntimeError(f"error in the stream: {event['error']}")
                    if event.get("usage"):
                        sample.tokens = event["usage"]["completion_tokens"]
                        sample.prompt_tokens = event["usage"]["prompt_tokens"]
                    if event["choices"] and event["choices"][0]["delta"].get("content") is not None:
                        if not sample.first:
                            sample.first = now
                        elif now > last:
                            sample.gaps.append(now - last)
                        last = now
        sample.end = time.perf_counter() - zero
        if not sample.tokens:
            raise RuntimeError("the stream ended without usage")
        return sample

    async def round(self, concurrency: int, tokens: int | None = None) -> list[Sample]:
        """One request from each of `concurrency` callers at once."""
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=300)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            zero = time.perf_counter()
            return list(await asyncio.gather(*(self.request(session, zero, tokens) for _ in range(concurrency))))


def _percentiles(values: list[float]) -> dict[str, float]:
    """p50, p95, p99 in milliseconds."""
    if len(values) < 2:  # quantiles need two
        return dict.fromkeys(("p50", "p95", "p99"), round(1e3 * values[0], 2) if values else 0.0)
    cut = statistics.quantiles(values, n=100, method="inclusive")
    return {"p50": round(1e3 * cut[49], 2), "p95": round(1e3 * cut[94], 2), "p99": round(1e3 * cut[98], 2)}


def summarise(concurrency: int, rounds: list[list[Sample]]) -> dict[str, Any]:
    """Throughput of every round with its median, and percentiles over all requests.

    `decode_tok_s` is what one caller sees after the first token: (tokens - 1) / (end - first).
    """
    speeds = [sum(s.tokens for s in r) / max(s.end for s in r) for r in rounds]
    samples = [sample for r in rounds for sample in r]
    decode = [(s.tokens - 1) / (s.end - s.first) for s in samples if s.end > s.first]
    return {
        "concurrency": concurrency,
        "rounds": len(rounds),
        "requests": len(samples),
        "prompt_tokens": round(statistics.mean(s.prompt_tokens for s in samples), 1),
        "output_tokens": round(statistics.mean(s.tokens for s in samples), 1),
        "tok_s": round(statistics.median(speeds), 1),
        "tok_s_rounds": [round(speed, 1) for speed in speeds],
        "decode_tok_s": round(statistics.median(decode), 2),
        "ttft_ms": _percentiles([s.first - s.start for s in samples]),
        "itl_ms": _percentiles([gap for s in samples for gap in s.gaps]),
    }


async def _measure(client: Client, plan: list[tuple[int, int]]) -> list[dict[str, Any]]:
    async with aiohttp.ClientSession() as session:
        await client.calibrate(session)
    results = []
    for concurrency, rounds in plan:
        await client.round(concurrency, tokens=min(32, client.output_tokens))
        results.append(summarise(concurrency, [await client.round(concurrency) for _ in range(rounds)]))
    return results


def measure(client: Client, plan: list[tuple[int, int]]) -> list[dict[str, Any]]:
    """Run (concurrency, rounds) after (concurrency, rounds), each after a short warm-up round.

    Args:
        client: The client.
        plan: What to run.

    Returns:
        One summary each.
    """
    return asyncio.run(_measure(client, plan))
