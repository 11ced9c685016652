"""What a model's reading of one sentence must survive before it counts. Pure, and deterministic.

The sentence itself decides quantifier and negation: its words, less those of the two terms, must be function words
that leave one of the four forms. All a model contributes is the border between the terms. What is doubtful is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from llama70b.syllogism import Quantifier, Reason, SentenceReading, Statement, read_statement, verbalise
from llama70b.syllogism._align import key, same
from llama70b.syllogism._clean_en import statement_words
from llama70b.syllogism._logic_words import FORBIDDEN
from llama70b.syllogism._morphology import head_index, lemmas, looks_singular

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ASSISTABLE = frozenset(
    {Reason.NO_STATEMENT, Reason.QUANTIFIER_IN_TERM, Reason.PRONOUN, Reason.NEGATION, Reason.EXISTENCE}
)
"""Reasons for which a model is asked: the grammar did not find its way; what is in the way, the guards look at again.
"Most", "unless" and their like are refused for good: no reading of them as all, no, some or some not is right."""

_MOST_WORDS = 14
UNIVERSAL = frozenset(
    "all every each any everything everyone everybody anything anyone anybody whoever whatever always".split()
)
EXISTENTIAL = frozenset("some something someone somebody certain".split())
NEGATIVE = frozenset("no not none never nothing nobody cannot".split())
_EMPTY = frozenset(
    """a an the of is are be do does that which who exist exists thing things one so then therefore hence thus also
    indeed really certainly""".split()
)
"""Words that may be left over once the terms are taken out: they say nothing by themselves, or the form says it."""
_WRAPPED = re.compile(r"\b(?:kinds?|types?|members?|class|classes|category|categories) of\b")
_THERE = re.compile(r"\bthere (?=(?:is|are|exists?)\b)")
_GAP = frozenset(
    """is are be do does not never no that which who also a an the all always indeed really certainly exists exist of
    class""".split()
)
"""Words that may stand between the two terms."""
_COPULAS = frozenset({"is", "are", "be"})
_NEVER = frozenset("and or if unless only except but".split())


class Doubt(Exception):
    """A proposal that did not survive; the message says which guard it failed."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a model answered about one sentence.

    Attributes:
        quantifier: The form.
        subject: The words of the class it speaks of.
        predicate: The words of what it says of it.
    """

    quantifier: Quantifier
    subject: str
    predicate: str


def proposal_of(answer: object) -> Proposal:
    """Return the proposal in a decoded JSON answer.

    Raises:
        Doubt: It is no object of the three fields, or the model itself said that it is unclear.
    """
    if not isinstance(answer, dict) or set(answer) != {"quantifier", "subject", "predicate"}:
        raise Doubt("the answer is not an object of quantifier, subject and predicate")
    if not all(isinstance(value, str) for value in answer.values()):
        raise Doubt("a field of the answer is not text")
    given: Mapping[str, str] = answer
    try:
        quantifier = Quantifier(given["quantifier"])
    except ValueError:
        raise Doubt(f"the model gave no quantifier ({given['quantifier'][:30]!r})") from None
    subject, predicate = (" ".join(given[name].split()).strip(" .,;:!?\"'") for name in ("subject", "predicate"))
    if not subject or not predicate:
        raise Doubt("a term is empty")
    return Proposal(quantifier, subject, predicate)


def guarded(source: str, proposal: Proposal) -> Statement:
    """Return the statement of a proposal that says what the sentence says.

    Args:
        source: The user's sentence.
        proposal: The model's reading of it.

    Raises:
        Doubt: A guard failed.
    """
    chinese = any("\u4e00" <= char <= "\u9fff" for char in source)
    if chinese:
        _form_zh(source, proposal)
        copula = source[: source.find(proposal.predicate)].endswith(("是", "属于"))
        statement = _built_zh(proposal, copula=copula)
    else:
        plain = " ".join(word.lower() for word in statement_words(source) if word[0].isalnum())
        words = _THERE.sub("", _WRAPPED.sub("", plain)).split()
        placed = _placed(words, proposal)
        _form(words, placed, proposal)
        statement = _built(proposal, verb=not _COPULAS & set(words[placed[0][1] : placed[1][0]]))
    again = read_statement(verbalise(statement))
    if not isinstance(again, SentenceReading) or again.statement != statement:
        raise Doubt("its words do not read back as the same statement")
    return replace(statement, source=source)


def _built(proposal: Proposal, *, verb: bool) -> Statement:
    """Read the proposal in canonical words: the grammar keeps logical words out of the terms.

    Args:
        proposal: The reading.
        verb: No copula stands before the predicate, so it is a verb phrase.
    """
    opening = {Quantifier.ALL: "All", Quantifier.NO: "No"}.get(proposal.quantifier, "Some")
    denied = "not " if proposal.quantifier is Quantifier.SOME_NOT else ""
    single = looks_singular(proposal.subject.split()[head_index(proposal.subject.split())])
    if single and proposal.quantifier is Quantifier.ALL:
        opening = "Every"
    said = proposal.predicate
    if verb and not said.split()[0].endswith(("ing", "ed")):
        said = f"{'something' if single else 'things'} that {said}"
    read = read_statement(f"{opening} {proposal.subject} {'is' if single else 'are'} {denied}{said}.")
    if not isinstance(read, SentenceReading) or read.alternative is not None:
        raise Doubt("its terms are no classes: they still hold a logical word, or no noun")
    found = read.statement
    if found.quantifier is not proposal.quantifier or not _names(found.subject.name, proposal.subject):
        raise Doubt("its terms are no classes: they do not read back")
    if same(key(found.subject.name), key(found.predicate.name)):
        raise Doubt("subject and predicate are the same")
    return found


def _names(name: str, words: str) -> bool:
    def bare(text: str) -> str:
        kept = [word for word in text.lower().split() if word not in _EMPTY]
        return " ".join(kept or text.lower().split())

    return same(key(bare(name)), key(bare(words)))


def _placed(words: Sequence[str], proposal: Proposal) -> tuple[tuple[int, int], tuple[int, int]]:
    """Find both terms in the sentence as stretches apart from each other.

    Raises:
        Doubt: A word of a term is not in the sentence, or the terms overlap, or words are left over.
    """
    if max(len(proposal.subject.split()), len(proposal.predicate.split())) > _MOST_WORDS:
        raise Doubt("a term is too long")
    places = [_stretch(words, term) for term in (proposal.subject, proposal.predicate)]
    (first, second) = sorted(places)
    if first[1] > second[0]:
        raise Doubt("the two terms overlap")
    left = [word for index, word in enumerate(words) if not any(a <= index < b for a, b in places)]
    over = [word for word in left if word not in _EMPTY | UNIVERSAL | EXISTENTIAL | NEGATIVE]
    if over:
        raise Doubt(f"the reading leaves out {over[0]!r}")
    between = [word for word in words[first[1] : second[0]] if word not in _GAP]
    if between:
        raise Doubt(f"{between[0]!r} stands between the terms")
    return places[0], places[1]


def _stretch(words: Sequence[str], term: str) -> tuple[int, int]:
    wanted = [word.lower() for word in statement_words(term) if word[0].isalnum()]
    if not wanted:
        raise Doubt("a term has no words")
    for start in range(len(words) - len(wanted) + 1):
        part = words[start : start + len(wanted)]
        if all(a == b or lemmas(a) & lemmas(b) for a, b in zip(part, wanted, strict=True)):
            return start, start + len(wanted)
    raise Doubt(f"the sentence does not say {term[:60]!r}")


def _form(words: Sequence[str], places: tuple[tuple[int, int], tuple[int, int]], proposal: Proposal) -> None:
    """Compare the form with what the sentence's own function words leave open.

    Raises:
        Doubt: They say otherwise, or do not decide.
    """
    subject, predicate = places
    outside = [
        (index, word)
        for index, word in enumerate(words)
        if not subject[0] <= index < subject[1] and not predicate[0] <= index < predicate[1]
    ]
    for _, word in outside:
        if word in _NEVER or (word in FORBIDDEN and word not in _EMPTY | UNIVERSAL | EXISTENTIAL | NEGATIVE):
            raise Doubt(f"{word!r} is a logical word")
    universal = [index for index, word in outside if word in UNIVERSAL]
    existential = [index for index, word in outside if word in EXISTENTIAL]
    negative = [index for index, word in outside if word in NEGATIVE]
    expected = form_of(universal, existential, negative)
    if expected is None:
        raise Doubt("its quantifier words do not settle the form")
    if expected is not proposal.quantifier:
        raise Doubt(f"the sentence says {expected.value!r}, the model {proposal.quantifier.value!r}")
    if expected in (Quantifier.ALL, Quantifier.SOME_NOT):
        cue = max([*universal[:1], *existential[:1], *(negative[:1] if universal else ())])
        if predicate < subject or any(words[index] not in _EMPTY for index in range(cue + 1, subject[0])):
            raise Doubt("subject and predicate are not where the sentence has them")


def form_of(universal: Sequence[int], existential: Sequence[int], negative: Sequence[int]) -> Quantifier | None:
    """Return the form that quantifier and negation words at these places make; None when they do not settle it."""
    if len(universal) + len(existential) > 1 or len(negative) > 1:
        return None
    match bool(universal), bool(existential), bool(negative):
        case True, False, False:
            return Quantifier.ALL
        case True, False, True:  # "not every", side by side; "every ... not" may be either
            return Quantifier.SOME_NOT if universal[0] == negative[0] + 1 else None
        case False, True, False:
            return Quantifier.SOME
        case False, True, True:
            return Quantifier.SOME_NOT if existential[0] < negative[0] else None
        case False, False, True:
            return Quantifier.NO
        case _:
            return None


_CUES_ZH = (
    ("universal", re.compile(r"所有|凡是?|一切|每一?[个只位名种条]?|任何|全部|全体")),
    ("existential", re.compile(r"有些|有的|某些|一些|至少有一[个只位名种条]")),
    ("negative", re.compile(r"没有|并非|不是|不|没")),
)
_EMPTY_ZH = re.compile(r"[的是都均皆全也会能属于，,。！？!?；\s]|类|一种|一个")


def _form_zh(source: str, proposal: Proposal) -> None:
    start, end = source.find(proposal.subject), source.find(proposal.predicate)
    if start < 0 or end < 0:
        raise Doubt("the sentence does not say that")
    if max(start, end) < min(start, end) + len(proposal.subject if start < end else proposal.predicate):
        raise Doubt("the two terms overlap")
    rest = source.replace(proposal.subject, "S" * len(proposal.subject), 1)
    rest = rest.replace(proposal.predicate, "P" * len(proposal.predicate), 1)
    places: dict[str, list[int]] = {}
    masked = rest
    for kind, pattern in _CUES_ZH:
        places[kind] = [match.start() for match in pattern.finditer(masked)]
        masked = pattern.sub(lambda match: "的" * len(match.group()), masked)
    over = _EMPTY_ZH.sub("", masked).replace("S", "").replace("P", "")
    if over:
        raise Doubt(f"the reading leaves out {over[:10]!r}")
    universal = [0] if places["universal"] else []
    negative = places["negative"]
    if universal and negative:
        # Only "not all", side by side, is one form; "all ... not" is said with 都不, which the grammar reads itself.
        adjacent = re.search(r"(?:并非|不是)(?:所有|每)", source)
        expected = Quantifier.SOME_NOT if adjacent and len(negative) == 1 else None
    else:
        expected = form_of(universal, places["existential"][:1], negative)
    if expected is not proposal.quantifier:
        raise Doubt("the sentence's own words say another form")
    if expected in (Quantifier.ALL, Quantifier.SOME_NOT) and end < start:
        raise Doubt("subject and predicate are not where the sentence has them")


def _built_zh(proposal: Proposal, *, copula: bool) -> Statement:
    frames = {
        Quantifier.ALL: ("所有{s}都是{p}。", "所有{s}都{p}。"),
        Quantifier.NO: ("没有{s}是{p}。", "所有{s}都不{p}。"),
        Quantifier.SOME: ("有些{s}是{p}。", "有些{s}{p}。"),
        Quantifier.SOME_NOT: ("有些{s}不是{p}。", "有些{s}不{p}。"),
    }[proposal.quantifier]
    for frame in frames if copula else frames[::-1]:
        read = read_statement(frame.format(s=proposal.subject, p=proposal.predicate))
        if isinstance(read, SentenceReading) and read.alternative is None:
            found = read.statement
            if found.quantifier is proposal.quantifier and found.subject.name != found.predicate.name:
                return found
    raise Doubt("its terms are no classes: they still hold a logical word")
