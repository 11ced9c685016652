"""Read "valid" or "invalid" from a model's free text, strictly. Pure.

What counts, and nothing else:

1. The last line that starts with a label: `Answer:` or `Final answer:`, in Chinese `答案：` or `最终答案：`. After the
   label stands exactly one of the words `valid`, `invalid`, `有效`, `无效`, with nothing else on the line but
   punctuation. Markdown emphasis, quotation marks and case do not matter.
2. Where no line has a label: a reply that is nothing but one of these words.

A labelled line that says anything else ("Answer: valid or invalid", "Answer: it depends") gives no answer, and
neither does free text ("I think it is valid"): an answer that has to be guessed is counted as unanswered.
"""

from __future__ import annotations

import re
from typing import Literal

Judgement = Literal["valid", "invalid"]

_DRESS = re.compile(r"[*_`#>\"'“”‘’「」《》]+")
_LABEL = re.compile(
    r"^\s*(?:-\s+)?(?:(?:the\s+)?(?:final\s+)?answer|(?:最终|最后)?答案)\s*[:：]\s*(?P<rest>.*)$", re.IGNORECASE
)
_WORD = re.compile(r"^\W*(?P<word>valid|invalid|有效|无效)\W*$", re.IGNORECASE)
_MEANING: dict[str, Judgement] = {"valid": "valid", "invalid": "invalid", "有效": "valid", "无效": "invalid"}

NO_LABEL = "no answer line"
NOT_ONE = "the answer line does not say valid or invalid"
EMPTY = "empty reply"


def read_answer(text: str) -> tuple[Judgement | None, str | None]:
    """Read the judgement of a reply.

    Args:
        text: The model's reply.

    Returns:
        The judgement and None; or None and why there is none.
    """
    lines = [_DRESS.sub("", line).strip() for line in text.splitlines()]
    lines = [line for line in lines if line]
    if not lines:
        return None, EMPTY
    labelled = [found["rest"] for line in lines if (found := _LABEL.match(line))]
    if not labelled and len(lines) > 1:
        return None, NO_LABEL
    word = _WORD.match(labelled[-1] if labelled else lines[0])
    if word is None:
        return None, NOT_ONE if labelled else NO_LABEL
    return _MEANING[word["word"].lower()], None
