"""What the arms that ask the model directly say to it. The convention of existential import is always stated."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from llama70b.evaluation._answers import Judgement
from llama70b.syllogism import Import, Language
from llama70b.types import Message

_TASK = {
    "en": "You judge arguments. An argument is valid if its conclusion must be true whenever its premises are true, "
    "no matter what is true in the real world; otherwise it is invalid. {import_}",
    "zh": "你来判断论证是否有效。如果前提为真时结论必然为真，论证就有效，无论现实世界如何；否则无效。{import_}",
}
_IMPORT = {
    ("en", "all_terms"): "Assume that every class that is named has at least one member.",
    ("en", "none"): "A class that is named may have no member.",
    ("zh", "all_terms"): "假定每个提到的类至少有一个成员。",
    ("zh", "none"): "提到的类可以没有成员。",
}
_BARE = {
    "en": "{text}\n\nIs this argument valid? Answer with one word: valid or invalid.",
    "zh": "{text}\n\n这个论证有效吗？只回答一个词：有效或无效。",
}
_STEPS = {
    "en": "{text}\n\nIs this argument valid? Think step by step, briefly. Then end with one line of its own, "
    '"Answer: valid" or "Answer: invalid".',
    "zh": "{text}\n\n这个论证有效吗？请简短地一步一步思考，最后单独写一行“答案：有效”或“答案：无效”。",
}
_RULES = {
    "en": """Decide by these rules. Write each statement as A (all S are P), E (no S are P), I (some S are P) or \
O (some S are not P). A term is distributed in: the subject of A and E, the predicate of E and O. The argument is \
valid if and only if all of these hold:
1. There are exactly three terms, and the middle term is distributed in at least one premise.
2. A term distributed in the conclusion is distributed in its premise.
3. At least one premise is affirmative (A or I).
4. The conclusion is negative (E or O) exactly if one premise is negative.{existence}""",
    "zh": """按下面的规则判断。把每个陈述写成 A（所有S是P）、E（没有S是P）、I（有些S是P）或 O（有些S不是P）。周延的项：\
A 和 E 的主项，E 和 O 的谓项。论证有效，当且仅当以下各条都成立：
1. 恰好有三个项，中项至少在一个前提中周延。
2. 在结论中周延的项，在它的前提中也周延。
3. 至少有一个前提是肯定的（A 或 I）。
4. 结论是否定的（E 或 O），当且仅当有一个前提是否定的。{existence}""",
}
_EXISTENCE = {
    "en": "\n5. A conclusion I or O needs a premise I or O.",
    "zh": "\n5. 结论是 I 或 O 时，必须有一个前提是 I 或 O。",
}
CHOICES: dict[Language, dict[str, Judgement]] = {
    "en": {"valid": "valid", "invalid": "invalid"},
    "zh": {"有效": "valid", "无效": "invalid"},
}
"""The words the bare arm's answer is constrained to, by language."""


@dataclass(frozen=True, slots=True)
class _Arm:
    ask: dict[str, str]
    rules: bool = False


_ARMS = {"bare": _Arm(_BARE), "cot": _Arm(_STEPS), "rules": _Arm(_STEPS, rules=True)}


def messages(arm: str, text: str, language: Language, import_: Import) -> tuple[Message, ...]:
    """Return the conversation an arm opens with.

    Args:
        arm: `bare`, `cot` or `rules`.
        text: The argument.
        language: Of the argument, and so of the prompt.
        import_: Convention of existential import.
    """
    wording = _ARMS[arm]
    system = _TASK[language].format(import_=_IMPORT[language, import_])
    if wording.rules:
        existence = _EXISTENCE[language] if import_ == "none" else ""
        system += "\n\n" + _RULES[language].format(existence=existence)
    return Message("system", system), Message("user", wording.ask[language].format(text=text))


def digest() -> str:
    """Return a hash over all prompts, to tell runs with other wording apart."""
    wording = [_TASK, _IMPORT, _BARE, _STEPS, _RULES, _EXISTENCE, CHOICES]
    return hashlib.sha256(repr(wording).encode()).hexdigest()[:12]
