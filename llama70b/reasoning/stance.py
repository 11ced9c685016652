"""Read which verdict a free-text answer gives: follows, does not follow, contradicted, or none that is clear.

The last explicit verdict wins, so that a chain of thought may change its mind. A verdict under a supposition ("if all
flowers faded, we could conclude ...") never overrules a plain one. Questions, repetitions of the question and
statements about another conclusion are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from llama70b.reasoning import _stance_en, _stance_zh
from llama70b.reasoning._stance_types import Claim, Finding, Stance

__all__ = ["Claim", "Stance", "StanceReading", "read_stance"]

_MAX_CHARS = 20_000
_QUOTE_CHARS = 160
_CONTRACTIONS = (
    (re.compile(r"\b(can)(?:no| no|'|\u2019)t\b"), "cannot"),
    (re.compile(r"\bwon't\b"), "will not"),
    (re.compile(r"\bi'm\b"), "i am"),
    (re.compile(r"\b(it|that|there|this|which|what)'s\b"), r"\1 is"),
    (re.compile(r"\b(\w+)n't\b"), r"\1 not"),
)
_BOXED = re.compile(r"\\(?:boxed|text|textbf|mathrm)\{([^{}]*)\}")
_NESTING = 3
_MARKUP = (
    (re.compile(r"[*_`#>$|~]+"), " "),
    (re.compile(r"[\u2018\u2019]"), "'"),
    (re.compile(r"[\u201c\u201d\"]"), ""),
)
_NOISE = re.compile(r"\b(?:without (?:a|any) doubt|no doubt|no question|not only)\b")
_BULLET = re.compile(r"^\s*(?:\d+[.)]|[-\u2022\u00b7])\s+")
_SENTENCE = re.compile(r"[^.!?\n\u3002\uff01\uff1f]+(?:[.!?\u3002\uff01\uff1f]+|\n|$)")


@dataclass(frozen=True, slots=True)
class StanceReading:
    """What was read from an answer.

    Attributes:
        stance: The verdict.
        quote: The sentence it was read from, shortened; "" when none was found.
        changed: An earlier sentence said otherwise.
        weak: No sentence states the verdict; it was read from a reason ("they may or may not be roses").
    """

    stance: Stance
    quote: str = ""
    changed: bool = False
    weak: bool = False


def read_stance(answer: str, *, claim: Claim | None = None) -> StanceReading:
    """Read the verdict of an answer to "can we conclude that ...?".

    Args:
        answer: Free text, English or Chinese, Markdown allowed; of a very long one the last 20,000 characters count.
        claim: The conclusion asked about. With it, verdicts on other statements are told apart.

    Returns:
        The last explicit verdict; `UNCLEAR` when there is none.
    """
    found = [finding for sentence in _sentences(answer) for finding in _findings(sentence, claim)]
    firm = [finding for finding in found if not finding.weak and not finding.conditional]
    if not firm:
        firm = [finding for finding in found if not finding.conditional]
        if len({finding.stance for finding in firm}) > 1:
            firm = []
    if not firm:
        return StanceReading(Stance.UNCLEAR)
    last = firm[-1]
    changed = any(finding.stance is not last.stance for finding in firm)
    return StanceReading(last.stance, _shortened(last.quote), changed, last.weak)


def _sentences(answer: str) -> Iterator[str]:
    text = answer[-_MAX_CHARS:].lower()
    for _ in range(_NESTING):
        text = _BOXED.sub(r"\1", text)
    for pattern, replacement in (*_MARKUP, *_CONTRACTIONS):
        text = pattern.sub(replacement, text)
    text = _NOISE.sub("", text)
    for line in text.splitlines():
        for match in _SENTENCE.finditer(_BULLET.sub("", line)):
            sentence = " ".join(match.group().split())
            if sentence and not sentence.endswith(("?", "\uff1f")):
                yield sentence


def _findings(sentence: str, claim: Claim | None) -> Iterator[Finding]:
    chinese = any("\u4e00" <= char <= "\u9fff" for char in sentence)
    return _stance_zh.findings(sentence, claim) if chinese else _stance_en.findings(sentence, claim)


def _shortened(quote: str) -> str:
    return quote if len(quote) <= _QUOTE_CHARS else quote[: _QUOTE_CHARS - 1] + "\u2026"
