"""What the acceptance tests found, as values, Markdown and JSON. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llama70b.acceptance._checks import Check

_QUOTED_CHARS = 1500


@dataclass(frozen=True, slots=True)
class Measured:
    """Tokens and seconds of one answer, cold start not included.

    Attributes:
        prompt_tokens: As the server counted, None when it did not.
        completion_tokens: As the server counted, None when it did not.
        seconds: From the request to the end of the answer.
        first_token_s: From the request to its first piece, None when none came.
    """

    prompt_tokens: int | None
    completion_tokens: int | None
    seconds: float
    first_token_s: float | None

    @property
    def total_tokens(self) -> int | None:
        """Tokens read and written."""
        if self.prompt_tokens is None or self.completion_tokens is None:
            return None
        return self.prompt_tokens + self.completion_tokens

    @property
    def tokens_per_s(self) -> float | None:
        """Tokens written per second after the first one; None for fewer than two."""
        if self.completion_tokens is None or self.first_token_s is None or self.completion_tokens < 2:  # noqa: PLR2004
            return None
        writing = self.seconds - self.first_token_s
        return (self.completion_tokens - 1) / writing if writing > 0 else None

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-able object."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.total_tokens,
            "seconds": round(self.seconds, 3),
            "first_token_s": None if self.first_token_s is None else round(self.first_token_s, 3),
            "tokens_per_s": None if self.tokens_per_s is None else round(self.tokens_per_s, 2),
        }


@dataclass(frozen=True, slots=True)
class Outcome:
    """One test's result. `measured` is None when no whole answer came."""

    check: Check
    passed: bool
    reason: str
    answer: str
    finish_reason: str | None
    measured: Measured | None

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-able object."""
        original = self.check.original
        return {
            "name": self.check.name,
            "title": self.check.title,
            "prompt": self.check.prompt,
            "max_tokens": self.check.max_tokens,
            "passed": self.passed,
            "reason": self.reason,
            "answer": self.answer,
            "finish_reason": self.finish_reason,
            **(self.measured.as_dict() if self.measured else dict.fromkeys(_MEASURES)),
            "original": {"tokens": original.tokens, "seconds": original.seconds},
        }


_MEASURES = ("prompt_tokens", "completion_tokens", "total_tokens", "seconds", "first_token_s", "tokens_per_s")


@dataclass(frozen=True, slots=True)
class Report:
    """All outcomes of one endpoint.

    Attributes:
        model: Served name.
        date: ISO 8601, UTC.
        cold_start_s: Seconds waited for the endpoint to wake before the first test.
        outcomes: In the order of the tests.
    """

    model: str
    date: str
    cold_start_s: float
    outcomes: tuple[Outcome, ...]

    @property
    def passed(self) -> bool:
        """Whether every test passed (and there was one)."""
        return bool(self.outcomes) and all(outcome.passed for outcome in self.outcomes)

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-able object."""
        return {
            "model": self.model,
            "date": self.date,
            "passed": self.passed,
            "cold_start_s": round(self.cold_start_s, 3),
            "checks": [outcome.as_dict() for outcome in self.outcomes],
        }


def to_markdown(report: Report, sibling: Report | None = None) -> str:
    """Return the report as Markdown.

    Args:
        report: The endpoint's.
        sibling: The small sibling's, for a column beside it.
    """
    done = sum(outcome.passed for outcome in report.outcomes)
    first = (
        f"Model `{_code(report.model)}`, {report.date}. **{'PASS' if report.passed else 'FAIL'}**: "
        f"{done} of {len(report.outcomes)} tests passed."
    )
    lines = ["# Acceptance of the deployment", "", first]
    if report.cold_start_s:
        lines.append(f"The endpoint was asleep: {report.cold_start_s:.0f} s to wake, not counted below.")
    if sibling is not None:
        done = sum(outcome.passed for outcome in sibling.outcomes)
        lines.append(
            f"Beside it the small sibling `{_code(sibling.model)}`: {done} of {len(sibling.outcomes)} passed. "
            "It does not decide the result."
        )
    lines += ["", *_table(report, sibling), "", _LEGEND, ""]
    for outcome in report.outcomes:
        lines += _section(outcome, sibling)
    return "\n".join(lines)


_LEGEND = (
    "Seconds are measured by this client, streamed, at temperature 0; *first* is the time to the first token; tok/s "
    "are the tokens written after it per second. The last two columns repeat the original report (2 x A100-80GB, "
    "BF16; 21-22 tok/s), which does not say whether its token counts include the prompt."
)


def _table(report: Report, sibling: Report | None) -> list[str]:
    head = ["test", "result", "prompt", "completion", "total", "seconds", "first (s)", "tok/s"]
    if sibling is not None:
        head += ["8B", "8B seconds", "8B tok/s"]
    head += ["original tokens", "original s"]
    rows = []
    for outcome in report.outcomes:
        m = outcome.measured
        row = [
            outcome.check.title,
            "pass" if outcome.passed else "**FAIL**",
            *(_cell(value) for value in _figures(m)),
        ]
        if sibling is not None:
            row += _beside(outcome, sibling)
        rows.append([*row, str(outcome.check.original.tokens), f"{outcome.check.original.seconds:g}"])
    rule = ["---", "---", *["---:"] * (len(head) - 2)]
    return ["| " + " | ".join(cells) + " |" for cells in (head, rule, *rows)]


def _figures(m: Measured | None) -> Sequence[float | None]:
    if m is None:
        return [None] * len(_MEASURES)
    return (m.prompt_tokens, m.completion_tokens, m.total_tokens, m.seconds, m.first_token_s, m.tokens_per_s)


def _beside(outcome: Outcome, sibling: Report) -> list[str]:
    other = next((one for one in sibling.outcomes if one.check.name == outcome.check.name), None)
    if other is None:
        return ["", "", ""]
    m = other.measured
    return [
        "pass" if other.passed else "**FAIL**",
        _cell(m.seconds if m else None),
        _cell(m.tokens_per_s if m else None),
    ]


def _cell(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.2f}" if value < 10 else f"{value:.1f}"  # noqa: PLR2004


def _section(outcome: Outcome, sibling: Report | None) -> list[str]:
    lines = [f"## {outcome.check.title}: {'pass' if outcome.passed else 'FAIL'}", "", f"> {outcome.check.prompt}", ""]
    lines.append(f"{'Passed' if outcome.passed else 'Failed'}: {_plain(outcome.reason)}")
    other = next((one for one in sibling.outcomes if one.check.name == outcome.check.name), None) if sibling else None
    if other is not None:
        lines.append(f"Sibling: {'passed' if other.passed else 'failed'}: {_plain(other.reason)}")
    return [*lines, "", *_fenced(outcome.answer), ""]


def _fenced(text: str) -> list[str]:
    """Quote text so that nothing in it can leave the quotation."""
    shown = printable(text)
    if len(shown) > _QUOTED_CHARS:
        shown = shown[:_QUOTED_CHARS] + "\n[...]"
    longest = max((len(run) for run in _runs_of_ticks(shown)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}text", shown, fence]


def _runs_of_ticks(text: str) -> list[str]:
    runs, run = [], ""
    for char in text:
        run = run + char if char == "`" else ""
        runs.append(run)
    return runs


def _code(text: str) -> str:
    return printable(text).replace("`", "'").replace("\n", " ")


def _plain(text: str) -> str:
    """Keep words of the model from being Markdown."""
    return "".join(f"\\{char}" if char in "\\`*_[]<>|#" else char for char in printable(text).replace("\n", " "))


def printable(text: str) -> str:
    """Return text without control characters other than line breaks and tabs: a terminal would obey them."""
    return "".join(char for char in text if char in "\n\t" or (char.isprintable() or char == "\u3000"))
