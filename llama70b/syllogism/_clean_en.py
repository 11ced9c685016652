"""The words of an English clause, cleaned of everything that says nothing: contractions, fillers, emphasis."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from llama70b.syllogism import _tables_en as tables
from llama70b.syllogism._morphology import looks_plural
from llama70b.syllogism._predicate_en import ADVERBS
from llama70b.syllogism._words_en import Words, low

if TYPE_CHECKING:
    from collections.abc import Sequence

_TOKEN = re.compile(r"\d+(?:[,.]\d+)+|[^\W_]+(?:['’.-][^\W_]+)*'?|[,:]|\S")
_QUOTES = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "—": ",", "…": " "})
_TITLE = re.compile(r"\b(Mr|Mrs|Ms|Dr|Prof|St)\.")
_PARENTHETIC = re.compile(r"\s*,?\s*\b(?:in fact|of course|as a matter of fact)\b\s*,?", re.IGNORECASE)
_DROPPED = frozenset({'"', "'", "`", "*", "_", "whatsoever"})
_COPULAS = (("is",), ("are",), ("do",), ("does",), ("has",), ("have",))
_NECESSARILY = re.compile(r"(?<!not )\bnecessarily ", re.IGNORECASE)
_MUST = re.compile(
    r"\bmust (?P<mid>(?:also |therefore |thus |necessarily |then |logically |indeed )*)(?P<not>not )?(?P<be>be )?",
    re.IGNORECASE,
)


def statement_words(text: str) -> Words:
    """Return the words of a clause: contractions opened, quotation marks and end punctuation dropped."""
    text = _PARENTHETIC.sub(" ", _TITLE.sub(r"\1", text.translate(_QUOTES)))
    for pattern, meaning in tables.CONTRACTIONS:
        text = pattern.sub(meaning, text)
    tokens = [token for token in _TOKEN.findall(text) if token.lower() not in _DROPPED]
    tokens = [token[:-1] if token.endswith("'") and not token.endswith("s'") else token for token in tokens]
    while tokens and tokens[-1] in (".", "!", "?", ";", ",", ":"):
        tokens.pop()
    while tokens and tokens[0] in (",", ":", ".", ";", "-"):
        tokens.pop(0)
    return tuple(tokens)


def factive(words: Words) -> Words:
    def verb(match: re.Match[str]) -> str:
        before = match.string[: match.start()].split()
        plural = bool(before) and looks_plural(before[-1])
        if match["be"]:
            return ("are " if plural else "is ") + (match["not"] or "")
        return ("do " if plural else "does ") + match["not"] if match["not"] else ""

    text = _NECESSARILY.sub("", _MUST.sub(verb, " ".join(words), count=1))
    return tuple(text.split())


def without_filler(words: Words) -> Words:
    changed = True
    while changed and words:
        changed = False
        while words and (
            words[0] in (",", ":") or words[0].lower() in ("also", "indeed", "clearly", "obviously", "then")
        ):
            words, changed = words[1:], True
        if low(words)[:2] in (("in", "fact"), ("of", "course")):
            words, changed = words[2:], True
    return _without_parentheses(words)


def _without_parentheses(words: Words) -> Words:
    """Drop ", therefore ," and ", without exception ," in the middle of a clause."""
    for index, word in enumerate(words):
        if word == "," and "," in words[index + 1 : index + 6]:
            end = words.index(",", index + 1)
            inside = low(words[index + 1 : end])
            if (inside and set(inside) <= ADVERBS) or inside in (("in", "fact"), ("of", "course")):
                return words[:index] + words[end + 1 :]
            if inside in tables.UNIVERSAL_SUFFIXES:
                return words[:index] + words[end + 1 :] + inside
    return words


def without_emphasis(words: Words) -> tuple[Words, bool]:
    emphatic = False
    for prefix in tables.UNIVERSAL_PREFIXES:
        if low(words[: len(prefix)]) == prefix:
            words, emphatic = words[len(prefix) :], True
            break
    for index in range(2, len(words)):  # "every coin without exception is ..."
        for phrase in tables.UNIVERSAL_SUFFIXES:
            if low(words[index : index + len(phrase)]) == phrase and low(words[index + len(phrase) :])[:1] in _COPULAS:
                return words[:index] + words[index + len(phrase) :], True
    changed = True
    while changed:
        changed = False
        for suffixes, strong in ((tables.UNIVERSAL_SUFFIXES, True), (tables.PLAIN_SUFFIXES, False)):
            for suffix in suffixes:
                if len(words) > len(suffix) + 1 and low(words[-len(suffix) :]) == suffix:
                    words = words[: -len(suffix)]
                    words = words[:-1] if words[-1] == "," else words
                    emphatic, changed = emphatic or strong, True
    return words, emphatic


def open_pronoun(words: Words) -> Words:
    lowered = low(words)
    for length in (4, 3, 2, 1):
        phrase = " ".join(lowered[:length])
        if phrase in tables.PRONOUNS and len(words) > length:
            return (*tables.PRONOUNS[phrase].split(), *words[length:])
    return words


def decapitalise(words: Sequence[str]) -> Words:
    """Undo the capital of a sentence's first word, unless it is a letter, a name or an acronym."""
    if not words or len(words[0]) == 1 or words[0][1:] != words[0][1:].lower():
        return tuple(words)
    return (words[0].lower(), *words[1:])
