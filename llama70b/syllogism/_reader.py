"""From text to aligned statements, or a refusal."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from llama70b.syllogism import _grammar_zh
from llama70b.syllogism._align import Alignment, akin, key, same, with_heads, without_prefix_negation
from llama70b.syllogism._doubts import Draft, doubt
from llama70b.syllogism._kinds import Language, Quantifier, Reason
from llama70b.syllogism._messages import note_words, reason_words
from llama70b.syllogism._parse import BOUND, DEFINITE, DEMONSTRATIVE, LASTING, PAST, Certainty, Note, Parse, Unreadable
from llama70b.syllogism._reading import Reading, Refusal, RefusedSpan, Role, SentenceReading
from llama70b.syllogism._segment import EnglishSegmenter, Piece
from llama70b.syllogism._types import Statement, Term

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_UNMARKED_MINIMUM = 3
"""From this many statements on, the last unmarked one is taken as the conclusion."""


_BOTH = 2
"""Both terms of a reading are named by other sentences."""

_REFERRING = {
    DEFINITE: Reason.DEFINITE,
    DEMONSTRATIVE: Reason.PRONOUN,
    PAST: Reason.TENSE,
    LASTING: Reason.TENSE,
    BOUND: Reason.PRONOUN,
}
"""Notes on words that only the other sentences can settle -> why a single statement with them is refused."""


def language_of(text: str) -> Language:
    """Return ``zh`` if the text holds Chinese characters, else ``en``."""
    return "zh" if any("\u4e00" <= char <= "\u9fff" for char in text) else "en"


def read_statement(text: str) -> SentenceReading | Refusal:
    """Read one statement.

    Args:
        text: One sentence in English or Chinese; a discourse marker before it ("Therefore,") is allowed.

    Returns:
        The reading, its ``alternative`` set if the sentence is ambiguous, or a refusal.
    """
    found = _pieces(text)
    language = language_of(text)
    statements = [piece for piece in found if piece.role not in ("aside", "open_question")]
    if any(not piece.read for piece in statements) or len(statements) != 1:
        refused = _refusals(text, found, language)
        if refused is not None:
            return refused
        code = Reason.CONDITIONAL if any(piece.conditional for piece in found) else Reason.NO_STATEMENT
        return _refuse_whole(text, code, language)
    draft = _resolve(statements, text, language)
    if isinstance(draft, Refusal):
        return draft
    sentence = draft[0]
    for referring, why in _REFERRING.items():
        if any(note.code == referring for note in sentence.notes):
            return _refusal(text, [replace(sentence.piece, refusal=Unreadable(why))], statements, language)
    return _sentence(text, sentence, language, Alignment(sentence.readings[0].terms))


def read_argument(text: str, readings: Mapping[tuple[int, int], Statement] | None = None) -> Reading | Refusal:
    """Read a whole argument: premises, and a conclusion or a question.

    Args:
        text: The user's text, English or Chinese.
        readings: Readings made elsewhere of stretches that were refused, by their span (start, end).

    Returns:
        The reading, or a refusal that names every stretch that could not be read.
    """
    found = _pieces(text)
    if readings:
        found = [_supplied(piece, readings.get((piece.start, piece.end))) for piece in found]
    return _assemble(text, found, language_of(text))


def _supplied(piece: Piece, statement: Statement | None) -> Piece:
    if statement is None or piece.read:
        return piece
    note = Note("by_model", (str(statement),))
    return replace(piece, refusal=None, parses=(Parse((statement,), notes=(note,)),))


def read_sentences(premises: Sequence[str | Statement], conclusion: str | Statement | None) -> Reading | Refusal:
    """Read premises and conclusion that are already apart.

    Args:
        premises: One statement each; a `Statement` stands for itself (a reading made elsewhere).
        conclusion: The statement to decide; ``None``: what follows?

    Returns:
        As `read_argument`; spans count in the sentences joined by line breaks.
    """
    given = [*premises, *(() if conclusion is None else (conclusion,))]
    sources = [str(item) for item in given]
    text = "\n".join(sources)
    found: list[Piece] = []
    offset = 0
    for position, (item, source) in enumerate(zip(given, sources, strict=True)):
        role: Role = "conclusion" if conclusion is not None and position == len(given) - 1 else "premise"
        if isinstance(item, Statement):
            found.append(Piece(role, offset, offset + len(source), (Parse((item,)),)))
        else:
            found.extend(_as_role(_pieces(source), role, offset))
        offset += len(source) + 1
    if conclusion is None:
        found.append(Piece("open_question", len(text), len(text)))
    return _assemble(text, found, language_of(text))


def spans(text: str) -> tuple[str, ...]:
    """Return the user's own clauses: candidates for premises and conclusion, in the order of the text.

    Every clause the reader tells apart, without markers and end punctuation, and the whole sentences; each once.
    Instructions and questions without content are left out.
    """
    clauses = [text[piece.start : piece.end] for piece in _pieces(text) if piece.role not in ("aside", "open_question")]
    return tuple(dict.fromkeys(clause for clause in clauses if clause.strip()))


def _pieces(text: str) -> list[Piece]:
    return _grammar_zh.pieces(text) if language_of(text) == "zh" else EnglishSegmenter(text).pieces()


def _as_role(found: Iterable[Piece], role: Role, offset: int) -> list[Piece]:
    return [
        replace(
            piece, role=role if piece.role != "aside" else "aside", start=piece.start + offset, end=piece.end + offset
        )
        for piece in found
    ]


def _assemble(text: str, found: Sequence[Piece], language: Language) -> Reading | Refusal:
    refused = _refusals(text, found, language)
    if refused is not None:
        return refused
    statements = [piece for piece in found if piece.role not in ("aside", "open_question")]
    if any(piece.conditional for piece in statements) and not _is_argument(statements):
        guilty = [replace(p, refusal=Unreadable(Reason.CONDITIONAL)) for p in statements if p.conditional]
        return _refusal(text, guilty, statements, language)
    placed = _placed(text, statements, found, language)
    if isinstance(placed, Refusal):
        return placed
    drafts = _resolve(placed, text, language)
    if isinstance(drafts, Refusal):
        return drafts
    return _aligned(text, drafts, language, unmarked=placed is not statements and _unmarked(statements, found))


def _is_argument(statements: Sequence[Piece]) -> bool:
    """Whether "if A and B, then C" is all there is; with one antecedent, or beside others, it is a claim."""
    premises = [piece for piece in statements if piece.role == "premise"]
    return all(piece.conditional for piece in statements) and len(premises) > 1


def _unmarked(statements: Sequence[Piece], found: Sequence[Piece]) -> bool:
    asked = any(piece.role == "open_question" for piece in found)
    return not asked and not any(piece.role == "conclusion" for piece in statements)


def _placed(text: str, statements: list[Piece], found: Sequence[Piece], language: Language) -> list[Piece] | Refusal:
    """Give every statement its role; the conclusion goes last."""
    conclusions = [piece for piece in statements if piece.role == "conclusion"]
    if conclusions and conclusions[-1] is statements[-1] and all(piece.weak for piece in conclusions[:-1]):
        conclusions = conclusions[-1:]  # "We can say that ...": what is said before the last is a premise
    elif len(conclusions) == 1 and conclusions[0].weak and statements[-1].role == "plain" and len(statements) > 2:  # noqa: PLR2004
        return _refusal(text, [replace(conclusions[0], refusal=Unreadable(Reason.AMBIGUOUS))], statements, language)
    if len(conclusions) > 1:
        guilty = [replace(piece, refusal=Unreadable(Reason.SEVERAL_CONCLUSIONS)) for piece in conclusions[1:]]
        return _refusal(text, guilty, statements, language)
    asked = [index for index, piece in enumerate(found) if piece.role == "open_question"]
    if asked and not conclusions and 0 < asked[-1] < len(found) - 1:
        # "... What follows? Some A are B.": an answer is put forward
        after = [piece for piece in found[asked[-1] :] if piece in statements]
        if len(after) > 1:
            return _refusal(
                text, [replace(p, refusal=Unreadable(Reason.AMBIGUOUS)) for p in after], statements, language
            )
        conclusions = after
    unmarked = not conclusions and _unmarked(statements, found) and len(statements) >= _UNMARKED_MINIMUM
    if unmarked and statements[-1].role == "plain":
        conclusions = [statements[-1]]
    premises = [replace(piece, role="premise") for piece in statements if piece not in conclusions]
    if not premises:
        return _refuse_whole(text, Reason.NO_PREMISES if statements else Reason.EMPTY, language)
    return [*premises, *(replace(piece, role="conclusion") for piece in conclusions)]


def _resolve(placed: Sequence[Piece], text: str, language: Language) -> list[Draft] | Refusal:
    """Choose among candidate borders of subject and predicate by the terms the other sentences name."""
    named = [
        (index, term)
        for index, piece in enumerate(placed)
        for parse in piece.parses
        for term in parse.readings[0].terms
    ]

    def backed(term: Term, own: int) -> bool:
        wanted = key(term.name)
        return any(index != own and akin(term, other) and same(wanted, key(other.name)) for index, other in named)

    drafts: list[Draft] = []
    for index, piece in enumerate(placed):
        ranked = sorted(
            ((sum(backed(term, index) for term in parse.readings[0].terms), parse) for parse in piece.parses),
            key=lambda pair: -pair[0],
        )
        best = min(parse.certainty for parse in piece.parses)
        if not (ranked[0][0] == _BOTH and sum(points == _BOTH for points, _ in ranked) == 1):
            ranked = [pair for pair in ranked if pair[1].certainty == best]  # context wins only if it settles all
        score, parse = ranked[0]
        tied = [other for points, other in ranked if points == score]
        unsure = parse.certainty is Certainty.CONTEXT and (score == 0 or len(tied) > 1)
        if unsure or (len(tied) > 1 and not _equivalent(tied)):
            guilty = replace(piece, refusal=Unreadable(Reason.NO_STATEMENT if unsure else Reason.AMBIGUOUS))
            return _refusal(text, [guilty], placed, language)
        drafts.append(Draft(piece, parse.readings, parse.notes))
    return drafts


def _equivalent(parses: Sequence[Parse]) -> bool:
    return len({parse.readings for parse in parses}) == 1


def _grouped(drafts: Sequence[Draft], language: Language) -> tuple[list[Statement], Alignment, list[Note]]:
    """Group the terms into classes, no more loosely than the premises need to join up."""
    flat, notes = without_prefix_negation([s for draft in drafts for s in draft.readings])
    alignment = Alignment([term for statement in flat for term in statement.terms])
    if alignment.size > _joinable(drafts) and language == "en":
        headed, head_notes = with_heads(flat)
        closer = Alignment([term for statement in headed for term in statement.terms])
        if closer.size < alignment.size:
            flat, alignment, notes = headed, closer, [*notes, *head_notes]
    if alignment.size > _joinable(drafts):
        looser = Alignment([term for statement in flat for term in statement.terms], loosely=True)
        alignment = looser if looser.size < alignment.size else alignment
    return flat, alignment, notes


def _aligned(text: str, drafts: Sequence[Draft], language: Language, *, unmarked: bool) -> Reading | Refusal:
    flat, alignment, prefix_notes = _grouped(drafts, language)
    if alignment.homonyms:
        guilty = replace(drafts[-1].piece, refusal=Unreadable(Reason.AMBIGUOUS))
        return _refusal(text, [guilty], [draft.piece for draft in drafts], language)
    sentences: list[SentenceReading] = []
    remaining = iter(flat)
    for draft in drafts:
        readings = tuple(next(remaining) for _ in draft.readings)
        sentences.append(_sentence(text, replace(draft, readings=readings), language, alignment))
    for draft, sentence in zip(drafts, sentences, strict=True):
        if sentence.statement.subject.name == sentence.statement.predicate.name:
            guilty = replace(draft.piece, refusal=Unreadable(Reason.SAME_TERM))
            return _refusal(text, [guilty], [d.piece for d in drafts], language)
    doubtful = doubt(drafts, sentences, alignment)
    if doubtful is not None:
        draft, reason = doubtful
        guilty = replace(draft.piece, refusal=Unreadable(reason))
        return _refusal(text, [guilty], [draft.piece for draft in drafts], language)
    shared = [*prefix_notes, *alignment.notes]
    if unmarked and any(sentence.role == "conclusion" for sentence in sentences):
        shared.append(Note("last_is_conclusion"))
    if any(s.statement.quantifier in (Quantifier.SOME, Quantifier.SOME_NOT) for s in sentences):
        shared.append(Note("some_at_least_one"))
    assumptions = [words for sentence in sentences for words in sentence.assumptions]
    assumptions += [note_words(note, language) for note in shared]
    return Reading(
        premises=tuple(s.statement for s in sentences if s.role == "premise"),
        conclusion=next((s.statement for s in sentences if s.role == "conclusion"), None),
        sentences=tuple(sentences),
        assumptions=tuple(dict.fromkeys(assumptions)),
        language=language,
    )


def _joinable(drafts: Sequence[Draft]) -> int:
    """Return how many classes the premises can join: a chain of n statements has n + 1."""
    return sum(draft.piece.role == "premise" for draft in drafts) + 1


def _sentence(text: str, draft: Draft, language: Language, alignment: Alignment) -> SentenceReading:
    readings = [alignment.statement(statement) for statement in draft.readings]
    piece = draft.piece
    return SentenceReading(
        role="conclusion" if piece.role == "conclusion" else "premise",
        start=piece.start,
        end=piece.end,
        source=text[piece.start : piece.end],
        statement=readings[0],
        alternative=readings[1] if len(readings) > 1 else None,
        assumptions=tuple(dict.fromkeys(note_words(note, language) for note in draft.notes)),
        by_model=any(note.code == "by_model" for note in draft.notes),
    )


def _refusals(text: str, found: Sequence[Piece], language: Language) -> Refusal | None:
    guilty = [piece for piece in found if piece.refusal is not None]
    return _refusal(text, guilty, found, language) if guilty else None


def _refusal(text: str, guilty: Sequence[Piece], found: Iterable[Piece], language: Language) -> Refusal:
    at_fault = {(piece.start, piece.end) for piece in guilty}
    sentences = [
        _sentence(text, Draft(piece, piece.parses[0].readings, piece.parses[0].notes), language,
                  Alignment([term for s in piece.parses[0].readings for term in s.terms]))
        for piece in found if piece.parses and (piece.start, piece.end) not in at_fault
    ]  # fmt: skip
    refused = []
    for piece in guilty:
        assert piece.refusal is not None
        role: Role | None = piece.role if piece.role in ("premise", "conclusion") else None
        refused.append(
            RefusedSpan(
                piece.start,
                piece.end,
                text[piece.start : piece.end],
                piece.refusal.reason,
                reason_words(piece.refusal.reason, piece.refusal.words, language),
                role,
            )
        )
    return Refusal(tuple(refused), tuple(sentences), language)


def _refuse_whole(text: str, reason: Reason, language: Language) -> Refusal:
    span = RefusedSpan(0, len(text), text, reason, reason_words(reason, "", language))
    return Refusal((span,), (), language)
