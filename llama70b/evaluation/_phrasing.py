"""Put statements and arguments into words, in three steps away from the canonical sentences. Pure.

Level 0 is the checker's own canonical wording; 1 uses the everyday variants of the quantifiers and other discourse
markers; 2 goes on to "only", "there are no ... that are not", denials of a whole sentence, and questions around the
argument. Every variant says exactly the statement it is listed under.
"""

from __future__ import annotations

from random import Random

from llama70b.evaluation._vocabulary import Word
from llama70b.syllogism import Language, Quantifier, Statement, Term, TermKind, verbalise

LEVELS = (0, 1, 2)

# {S} {P}: plural noun phrases; {s} {p}: one of them with its article; {are_p} {is_p} ...: predicates;
# {one_s}: the singular noun; {that_are_s} {that_is_s}: relative clauses.
_EN: dict[int, dict[Quantifier, tuple[str, ...]]] = {
    1: {
        Quantifier.ALL: (
            "Every {one_s} {is_p}.",
            "Each {one_s} {is_p}.",
            "Any {one_s} {is_p}.",
            "All of the {S} {are_p}.",
        ),
        Quantifier.NO: ("No {one_s} {is_p}.", "There are no {S} that {are_p}.", "Not a single {one_s} {is_p}."),
        Quantifier.SOME: ("At least one {one_s} {is_p}.", "There are {S} that {are_p}.", "A few {S} {are_p}."),
        Quantifier.SOME_NOT: (
            "Not all {S} {are_p}.",
            "Not every {one_s} {is_p}.",
            "There are {S} that {are_not_p}.",
            "At least one {one_s} {is_not_p}.",
        ),
    },
    2: {
        Quantifier.ALL: (
            "Everything that {is_s} {is_p}.",
            "Only {P} {are_s}.",
            "There are no {S} that {are_not_p}.",
            "Whatever {is_s} {is_p}.",
            "If something {is_s}, then it {is_p}.",
        ),
        Quantifier.NO: (
            "Nothing that {is_s} {is_p}.",
            "{S} never {are_p}.",
            "None of the {S} {are_p}.",
            "It is not true that any {one_s} {is_p}.",
            "There is no such thing as {s} that {is_p}.",
        ),
        Quantifier.SOME: (
            "It is true that some {S} {are_p}.",
            "Some of the {S} {are_p}.",
            "Certain {S} {are_p}.",
            "There is at least one {one_s} that {is_p}.",
        ),
        Quantifier.SOME_NOT: (
            "It is not the case that all {S} {are_p}.",
            "It is false that every {one_s} {is_p}.",
            "Some of the {S} {are_not_p}.",
            "There is at least one {one_s} that {is_not_p}.",
        ),
    },
}
_ZH: dict[int, dict[Quantifier, tuple[str, ...]]] = {
    1: {
        Quantifier.ALL: ("每一个{S}都是{P}。", "凡是{S}都是{P}。", "任何{S}都是{P}。"),
        Quantifier.NO: ("任何{S}都不是{P}。", "所有{S}都不是{P}。", "没有一个{S}是{P}。"),
        Quantifier.SOME: ("有的{S}是{P}。", "至少有一个{S}是{P}。", "某些{S}是{P}。"),
        Quantifier.SOME_NOT: ("不是所有{S}都是{P}。", "并非所有{S}都是{P}。", "有的{S}不是{P}。"),
    },
    2: {
        Quantifier.ALL: ("只有{P}才是{S}。", "没有{S}不是{P}。"),
        Quantifier.NO: ("凡是{S}都不是{P}。", "没有任何{S}是{P}。"),
        Quantifier.SOME: ("存在是{P}的{S}。", "有一些{S}是{P}。"),
        Quantifier.SOME_NOT: ("并不是每个{S}都是{P}。", "至少有一个{S}不是{P}。"),
    },
}
# {1} {2} premises and {c} conclusion as clauses without their full stop; {1.} the same as sentences of their own.
_FRAMES: dict[Language, dict[int, tuple[str, ...]]] = {
    "en": {
        0: ("{1.} {2.} Therefore, {c}.",),
        1: (
            "{1.} {2.} So {c}.",
            "{1.} {2.} Hence, {c}.",
            "{1.} {2.} It follows that {c}.",
            "{1.} Moreover, {2}. Consequently, {c}.",
        ),
        2: (
            "If {1} and {2}, can we conclude that {c}?",
            "Suppose that {1} and that {2}. Does it follow that {c}?",
            "Premise 1: {1.} Premise 2: {2.} Conclusion: {c.}",
            "We know that {1}. We also know that {2}. This means that {c}.",
            "{1.} {2.} From this we can infer that {c}.",
        ),
    },
    "zh": {
        0: ("{1.}{2.}因此，{c}。",),
        1: ("{1.}{2.}所以，{c}。", "{1.}{2.}由此可见，{c}。"),
        2: ("如果{1}，并且{2}，那么能否得出结论：{c}？", "已知{1}，{2}。那么可以推出{c}吗？"),
    },
}


def phrase(statement: Statement, words: dict[str, Word], level: int, random: Random) -> str:
    """Put one statement into a sentence with its full stop.

    Args:
        statement: The statement; its terms are not negated.
        words: The word of each term by its name.
        level: 0, 1 or 2.
        random: Chooses among the level's variants.
    """
    if level == 0:
        return verbalise(statement)
    subject, predicate = (words[term.name] for term in statement.terms)
    if statement.language == "zh":
        return random.choice(_ZH[level][statement.quantifier]).format(S=subject.name, P=predicate.name)
    options = [
        option
        for option in _EN[level][statement.quantifier]
        if subject.kind is TermKind.NOUN or "{one_s}" not in option
        if predicate.kind is TermKind.NOUN or "never" not in option
    ]
    sentence = random.choice(options).format(**_slots(subject, predicate))
    return sentence[0].upper() + sentence[1:]


def argue(sentences: list[str], language: Language, level: int, random: Random) -> str:
    """Put the sentences of an argument, conclusion last, into one text.

    Args:
        sentences: Two premises and the conclusion, each with its full stop.
        language: Of them.
        level: 0, 1 or 2.
        random: Chooses among the level's frames.
    """
    conditional = any(sentence.startswith("If ") for sentence in sentences)
    frames = [frame for frame in _FRAMES[language][level] if not (conditional and frame.startswith("If "))]
    frame = random.choice(frames)
    clauses = dict(zip(("1", "2", "c"), sentences, strict=True))
    for name, sentence in clauses.items():
        frame = frame.replace("{" + name + ".}", sentence)
        frame = frame.replace("{" + name + "}", _clause(sentence))
    return frame


def _clause(sentence: str) -> str:
    body = sentence.rstrip(".。")
    return body[0].lower() + body[1:]


def _slots(subject: Word, predicate: Word) -> dict[str, str]:
    slots = {"S": _plural(subject), "P": _plural(predicate), "one_s": subject.one, "s": _one(subject)}
    for name, word in (("s", subject), ("p", predicate)):
        verb = word.kind is TermKind.VERB
        slots[f"are_{name}"] = word.name if verb else f"are {word.name}"
        slots[f"is_{name}"] = word.one if verb else f"is {_one(word)}"
        slots[f"are_not_{name}"] = f"do not {word.name}" if verb else f"are not {word.name}"
        slots[f"is_not_{name}"] = f"does not {word.name}" if verb else f"is not {_one(word)}"
    return slots


def _plural(word: Word) -> str:
    return f"things that {word.name}" if word.kind is TermKind.VERB else word.name


def _one(word: Word) -> str:
    if word.kind is TermKind.VERB:
        return f"a thing that {word.one}"
    return ("an " if word.one[0] in "aeiou" else "a ") + word.one


def term_of(word: Word) -> Term:
    """Return the term a word names."""
    return Term(word.name, kind=word.kind)
