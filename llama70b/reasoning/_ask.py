"""What a model is asked about one sentence: prompt, examples of all four forms, and the schema of the answer. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llama70b.syllogism import Quantifier
from llama70b.syllogism._clean_en import statement_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MOST_SPANS = 60
_MOST_CHARS = 120
_UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Ask:
    """One question for a model.

    Attributes:
        messages: The conversation: `role` and `content`.
        json_schema: What the answer must fit; no field of it invites a judgement on the argument.
    """

    messages: tuple[Mapping[str, str], ...]
    json_schema: Mapping[str, Any]


_INSTRUCTION = (
    "You put one sentence into the form of classical logic. quantifier: all (every A is B), no (no A is B), some (at "
    "least one A is B), some_not (at least one A is not B); unclear if it is none of them. subject and predicate: the "
    "two classes, in the sentence's own words, without all, no, some, not, is, are. Answer with the JSON object only."
)
_EXAMPLES_EN = (
    ("Not every bird that sings is colourful.", "some_not", "bird that sings", "colourful"),
    ("There is never a stone that floats.", "no", "stone", "floats"),
    ("Each of the towers leans.", "all", "towers", "leans"),
    ("Some old clocks still work.", "some", "old clocks", "still work"),
    ("Half of the guests left early.", _UNCLEAR, "guests", "left early"),
)
_EXAMPLES_ZH = (
    ("并非每只会唱歌的鸟都漂亮。", "some_not", "会唱歌的鸟", "漂亮"),
    ("石头没有一块会浮。", "no", "石头", "会浮"),
    ("凡是塔都倾斜。", "all", "塔", "倾斜"),
    ("有些旧钟还在走。", "some", "旧钟", "还在走"),
    ("一半的客人早退了。", _UNCLEAR, "客人", "早退了"),
)


def sentence_question(sentence: str, turn: int = 0) -> Ask:
    """Return the question about one sentence.

    Args:
        sentence: The user's words.
        turn: Number of the vote; the examples are turned by it, so that a form is not copied by its place.
    """
    chinese = any("\u4e00" <= char <= "\u9fff" for char in sentence)
    examples = _EXAMPLES_ZH if chinese else _EXAMPLES_EN
    turned = (*examples[turn % len(examples) :], *examples[: turn % len(examples)])
    messages: list[Mapping[str, str]] = [{"role": "system", "content": _INSTRUCTION}]
    for source, quantifier, subject, predicate in turned:
        answer = {"quantifier": quantifier, "subject": subject, "predicate": predicate}
        messages.append({"role": "user", "content": source})
        messages.append({"role": "assistant", "content": json.dumps(answer, ensure_ascii=False)})
    messages.append({"role": "user", "content": sentence})
    term: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": _MOST_CHARS}
    stretches = [] if chinese else _stretches(sentence)
    if stretches and len(stretches) <= _MOST_SPANS:
        term = {"type": "string", "enum": stretches}
    schema = {
        "type": "object",
        "properties": {
            "quantifier": {"type": "string", "enum": [*(kind.value for kind in Quantifier), _UNCLEAR]},
            "subject": term,
            "predicate": term,
        },
        "required": ["quantifier", "subject", "predicate"],
        "additionalProperties": False,
    }
    return Ask(tuple(messages), schema)


_NO_END = frozenset("a an the of is are be not no all every each some that which who and in on to by for with".split())
_NO_START = _NO_END - {"in", "on", "by", "for", "with", "a", "an"}


def _stretches(sentence: str) -> list[str]:
    """Return the stretches of a sentence that may be a term: the model can then invent no word."""
    words = [word for word in statement_words(sentence) if word[0].isalnum()]
    found = [
        " ".join(words[start:end])
        for start in range(len(words))
        for end in range(start + 1, len(words) + 1)
        if words[start].lower() not in _NO_START and words[end - 1].lower() not in _NO_END
    ]
    return list(dict.fromkeys(found))


def alignment_question(pair: tuple[str, str], sentences: Sequence[str]) -> Ask:
    """Return the question whether two terms of an argument name the same class."""
    said = " / ".join(sentences)
    content = (
        f"Sentences: {said}\n"
        f"Do “{pair[0]}” and “{pair[1]}” stand for exactly the same things in these sentences? Answer yes or no."
    )
    schema = {
        "type": "object",
        "properties": {"same": {"type": "string", "enum": ["no", "yes"]}},
        "required": ["same"],
        "additionalProperties": False,
    }
    return Ask(({"role": "user", "content": content},), schema)
