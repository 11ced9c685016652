"""Checks of a live deployment: what only an account can show. `modal run -m server.app::smoke` calls `main`.

Auth refusal (without waking anything), wake time, health, models, a plain and a streamed answer, a forced tool call, a
history with two calls in one turn, and then the acceptance tests of the original deployment (`llama70b check`).
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import httpx

from server.errors import ServerError
from server.profiles import Profile

_POLL_S: Final = 2.0
_SPARE_S: Final = 120.0
_WEATHER: Final = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Current weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


class CheckFailed(ServerError):
    """A check did not hold; the message says what came instead."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One check.

    Attributes:
        name: What was checked.
        passed: Whether it held.
        detail: What was seen.
        seconds: How long it took.
    """

    name: str
    passed: bool
    detail: str
    seconds: float


class Checks:
    """The checks over one endpoint.

    Args:
        url: The server's URL, without `/v1`.
        token: Proxy token `wk-<id>.ws-<secret>`.
        profile: What is deployed there.
        poll_s: Seconds between two looks while it wakes.
    """

    def __init__(self, url: str, token: str, profile: Profile, *, poll_s: float = _POLL_S) -> None:
        self._url, self._profile, self._poll_s = url.rstrip("/"), profile, poll_s
        self._client = httpx.Client(
            base_url=self._url, headers={"Authorization": f"Bearer {token}"}, timeout=180.0, follow_redirects=False
        )

    def refused_without_token(self) -> str:
        """Every path answers 401 or 403 to a stranger, also those that vLLM leaves open."""
        seen = {}
        for path in ("/health", "/v1/models", "/invocations", "/metrics"):
            seen[path] = httpx.get(f"{self._url}{path}", timeout=30.0).status_code
        if any(status not in {401, 403} for status in seen.values()):
            raise CheckFailed(f"a stranger got {seen}")
        return f"{seen}"

    def wakes(self) -> str:
        """`/health` becomes 200; the time it takes is the cold start."""
        began = time.monotonic()
        statuses: list[int] = []
        while time.monotonic() - began < self._profile.startup_timeout_s + _SPARE_S:
            status = self._client.get("/health").status_code
            if not statuses or statuses[-1] != status:
                statuses.append(status)
            if status == httpx.codes.OK:
                return f"ready after {time.monotonic() - began:.0f} s, statuses {statuses}"
            if status in {401, 403}:
                raise CheckFailed(f"the proxy token is refused ({status}); LLAMA70B_API_KEY is wk-<id>.ws-<secret>")
            time.sleep(self._poll_s)
        raise CheckFailed(f"not ready in {self._profile.startup_timeout_s} s, statuses {statuses}")

    def lists_the_model(self) -> str:
        """`/v1/models` lists every served name with the context window."""
        data = self._json(self._client.get("/v1/models"))["data"]
        names = [model["id"] for model in data]
        if set(names) != set(self._profile.served_names):
            raise CheckFailed(f"served: {names}, expected {self._profile.served_names}")
        return f"{names}, window {data[0].get('max_model_len')}"

    def answers(self) -> str:
        """A short answer with usage."""
        answer = self._chat("What is the capital of France? One word.", max_tokens=16)
        text = answer["choices"][0]["message"]["content"]
        if "paris" not in text.lower():
            raise CheckFailed(f"the capital of France is said to be {text!r}")
        return f"{text!r}, {answer['usage']['completion_tokens']} tokens"

    def streams(self) -> str:
        """A stream that ends with a reason and usage."""
        body = self._body("Count from 1 to 20.", max_tokens=100, stream=True)
        began, first, reason, usage = time.monotonic(), None, None, None
        with self._client.stream("POST", "/v1/chat/completions", json=body) as answer:
            rest = b""
            for chunk in answer.iter_bytes():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    if line.startswith(b"data: {"):
                        first = first or time.monotonic() - began
                        event = json.loads(line.removeprefix(b"data: "))
                        usage = event.get("usage") or usage
                        reason = next((c["finish_reason"] for c in event["choices"] if c["finish_reason"]), reason)
        if reason is None or usage is None:
            raise CheckFailed(f"finish_reason {reason}, usage {usage}")
        speed = (usage["completion_tokens"] - 1) / max(time.monotonic() - began - (first or 0), 1e-9)
        return f"first token {first or 0:.2f} s, {speed:.1f} tok/s, {reason}"

    def calls_a_tool(self) -> str:
        """A forced tool call with arguments that fit the schema."""
        answer = self._chat("Weather in Paris?", max_tokens=64, tools=[_WEATHER], tool_choice="required")
        calls = answer["choices"][0]["message"].get("tool_calls") or []
        if not calls or "city" not in json.loads(calls[0]["function"]["arguments"]):
            raise CheckFailed(f"no usable call: {json.dumps(answer['choices'][0])[:300]}")
        return f"{calls[0]['function']['name']}({calls[0]['function']['arguments']})"

    def accepts_two_calls_in_history(self) -> str:
        """Our template takes a history that vLLM's example template refuses."""

        def call(identifier: str, city: str) -> dict[str, Any]:
            function = {"name": "weather", "arguments": json.dumps({"city": city})}
            return {"id": identifier, "type": "function", "function": function}

        history = [
            {"role": "user", "content": "Weather in Paris and Rome?"},
            {"role": "assistant", "content": None, "tool_calls": [call("a", "Paris"), call("b", "Rome")]},
            {"role": "tool", "tool_call_id": "a", "content": "sunny"},
            {"role": "tool", "tool_call_id": "b", "content": "rain"},
        ]
        body = {"model": self._profile.served_names[0], "messages": history, "tools": [_WEATHER], "max_tokens": 64}
        answer = self._json(self._client.post("/v1/chat/completions", json=body))
        return repr(answer["choices"][0]["message"]["content"])[:80]

    def all(self) -> list[tuple[str, Callable[[], str]]]:
        """The checks in order; what comes first must not wake the GPU."""
        return [
            ("strangers are refused", self.refused_without_token),
            ("wakes up", self.wakes),
            ("lists its model", self.lists_the_model),
            ("answers", self.answers),
            ("streams", self.streams),
            ("calls a tool", self.calls_a_tool),
            ("two calls in history", self.accepts_two_calls_in_history),
        ]

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _body(self, prompt: str, **more: Any) -> dict[str, Any]:
        messages = [{"role": "user", "content": prompt}]
        return {"model": self._profile.served_names[0], "messages": messages, "temperature": 0, **more}

    def _chat(self, prompt: str, **more: Any) -> dict[str, Any]:
        return self._json(self._client.post("/v1/chat/completions", json=self._body(prompt, **more)))

    @staticmethod
    def _json(answer: httpx.Response) -> dict[str, Any]:
        if answer.status_code != httpx.codes.OK:
            raise CheckFailed(f"{answer.request.url.path} answered {answer.status_code}: {answer.text[:200]}")
        value: dict[str, Any] = answer.json()
        return value


def run(checks: Checks, say: Callable[[str], object]) -> list[Outcome]:
    """Run all checks, saying each as it ends; after a failed wake-up the rest would only time out, so it stops there.

    Args:
        checks: The checks.
        say: Where lines go.

    Returns:
        What came out.
    """
    outcomes: list[Outcome] = []
    for name, check in checks.all():
        began = time.monotonic()
        try:
            outcome = Outcome(name, True, check(), time.monotonic() - began)
        except (CheckFailed, httpx.HTTPError) as error:
            outcome = Outcome(name, False, f"{type(error).__name__}: {error}", time.monotonic() - began)
        outcomes.append(outcome)
        say(f"{'pass' if outcome.passed else 'FAIL'}  {name} ({outcome.seconds:.1f} s): {outcome.detail}")
        if name == "wakes up" and not outcome.passed:
            break
    return outcomes


def acceptance(url: str, token: str, model: str) -> int:
    """Run the acceptance tests of the original deployment with the client package, in a process of its own."""
    environment = {
        **os.environ,
        "LLAMA70B_BASE_URL": f"{url.rstrip('/')}/v1",
        "LLAMA70B_API_KEY": token,
        "LLAMA70B_MODEL": model,
    }
    return subprocess.run([sys.executable, "-m", "llama70b", "check"], env=environment, check=False).returncode


def main(url: str, token: str, profile: Profile, *, say: Callable[[str], object] = print) -> int:
    """All checks, then acceptance.

    Args:
        url: The server's URL.
        token: Proxy token.
        profile: What is deployed there.
        say: Where lines go.

    Returns:
        0 if everything held, else 1.
    """
    if not token:
        say("LLAMA70B_API_KEY is not set: a proxy token wk-<id>.ws-<secret> from Modal's settings is needed")
        return 1
    checks = Checks(url, token, profile)
    try:
        outcomes = run(checks, say)
    finally:
        checks.close()
    failed = [outcome.name for outcome in outcomes if not outcome.passed]
    if "wakes up" in failed:
        return 1
    accepted = acceptance(url, token, profile.served_names[0]) == 0
    say(f"{len(outcomes) - len(failed)} of {len(checks.all())} checks, acceptance {'passed' if accepted else 'failed'}")
    return 0 if accepted and not failed else 1
