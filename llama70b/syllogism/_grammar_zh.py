"""Reading Chinese: clauses with roles, and the statement grammar driven by ``_tables_zh``."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from llama70b.syllogism import _tables_zh as tables
from llama70b.syllogism._kinds import Quantifier, Reason, TermKind
from llama70b.syllogism._parse import Certainty, Note, Parse, Unreadable
from llama70b.syllogism._segment import Piece, PieceRole
from llama70b.syllogism._types import Statement, Term

if TYPE_CHECKING:
    from collections.abc import Iterator

_NUMBERING = re.compile(r"[（(]?(?:\d{1,2}|[一二三四五六七八九十]|[a-zA-Z])[)）]?")
_HEADING = re.compile(r"(?P<H>[^：:]{2,40})[：:]\s*")
_OPEN_REMAINDERS = frozenset({"什么结论", "什么", "哪些结论", "怎样的结论", "什么样的结论"})
"""What is left of "由此能得出什么结论" once its opening marker is taken off."""
_EVERYTHING = frozenset({"东西", "事物", "任何东西"})
_Candidate = tuple[str, str, str, TermKind | None, Certainty]
"""Subject, kind of copula, predicate, ``VERB`` if the predicate is a verb phrase, certainty."""
_Builder = Callable[[Term, str, Term], "tuple[Statement, ...] | None"]

_SENTENCE = re.compile(r"[。！？；.!?;\n]+[”’」』）\"']*")
_EDGES = " \t\r\n　，,。；;：:.!?！？“”\"'「」『』"
_BOTH = r"既是(?P<S>.+?)，?,?又是(?P<P>.+?)"
_FRAMES = tuple(
    (re.compile(pattern), force)
    for pattern, force in (
        (
            rf"(?:没有|不存在)(?:任何|一个|哪个)?(?:东西|人|事物|个体|物体)?{_BOTH}(?:的(?:东西|人|事物|个体|物体)?)?",
            Quantifier.NO,
        ),
        (
            rf"(?:有|存在|至少有|至少存在)(?:一个|一些|些|着)?(?:东西|人|事物|个体|物体)?{_BOTH}(?:的(?:东西|人|事物|个体|物体)?)?",
            Quantifier.SOME,
        ),
        (r"不存在(?:任何)?不(?P<X>.+?)的(?P<S>[^的]+)", Quantifier.ALL),
        (r"不存在(?:任何)?是(?P<P>.+?)的(?P<S>[^的]+)", Quantifier.NO),
        (
            r"(?P<S>.+?)(?:和|与|跟)(?P<P>.+?)(?:没有交集|不相交|互不相交|互不相容|没有重叠|不重叠|互斥|是互斥的)",
            Quantifier.NO,
        ),
        (r"(?P<S>.+?)(?:和|与|跟)(?P<P>.+?)(?:有交集|相交|有重叠)", Quantifier.SOME),
        (r"(?P<S>.+?)(?:的集合)?(?:包含于|包含在|是)(?P<P>.+?)(?:的集合)?(?:之中|里)?的子集", Quantifier.ALL),
        (
            r"(?:只有|唯有|惟有)(?!一|两|几|有|少|某|在)(?P<P>.+?)[，,]?才(?:能够|能|会|可以)?(?:是|算是|属于|成为)(?P<S>.+)",
            Quantifier.ALL,
        ),
        (r"(?:只有|唯有|惟有)(?!一|两|几|有|少|某|在)(?P<P>.+?)[，,]?才(?P<S>.+)", Quantifier.ALL),
        (r"(?:只有|唯有|惟有)(?!一|两|几|有|少|某|在)(?P<P>.+?)是(?P<S>.+)", Quantifier.ALL),
    )
)
_DENIALS = (
    (re.compile(r"(?:并非|并不是|不是|并不是说|并非说)(?P<X>(?:有些|有的|某些|没有|存在|至少).+)"), "X"),
    (
        re.compile(
            r"[“\"「]?(?P<X>.+?)[”\"」]?(?:这一说法|这句话|这种说法|的说法|这)?(?:是假的|是错误的|是错的|不成立|不是真的|不是事实)"
        ),
        "X",
    ),
)
_AFFIRMED = re.compile(r"(?:[“\"「]?(?P<X>.+?)[”\"」]?(?:这一说法|这句话|这)?(?:是真的|是事实|为真))")
_WRAPPERS = re.compile(r"^(?:属于|一种|一类|一个|一名|一位|一只|一朵|一条|一头|一棵|一块|某种|某类)")
_HEADS = re.compile(r"的(?:东西|事物|物体|个体|对象|一员|一种|一类|成员)?$")
_KIND_OF = re.compile(r"的(?:一员|一种|一类|成员)$")


def pieces(text: str) -> list[Piece]:
    """Cut a Chinese text into clauses with roles, in the order of the text."""
    found: list[Piece] = []
    start = 0
    carried: PieceRole = "plain"
    matches = [*_SENTENCE.finditer(text), None]
    for match in matches:
        end = match.start() if match else len(text)
        asked = bool(match) and any(mark in match.group() for mark in "?？") if match else False
        if text[start:end].strip(_EDGES):
            sentence, carried = _sentence(text, start, end, carried, asked=asked)
            found.extend(sentence)
        start = match.end() if match else end
    return found


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start] in _EDGES:
        start += 1
    while end > start and text[end - 1] in _EDGES:
        end -= 1
    return start, end


def _sentence(text: str, start: int, end: int, role: PieceRole, *, asked: bool) -> tuple[list[Piece], PieceRole]:
    start, end = _trim(text, start, end)
    while match := tables.LABEL.match(text[start:end]):
        role = "premise" if match["premise"] else "conclusion" if match["conclusion"] else role
        start += match.end()
    heading = _HEADING.match(text[start:end])
    if heading and tables.ASIDE.match(heading["H"]):
        start += heading.end()
    body = text[start:end]
    if start >= end or _NUMBERING.fullmatch(body):
        return [], role
    if tables.OPEN_QUESTION.match(body):
        return [Piece("open_question", start, end)], "plain"
    if tables.ASIDE.match(body):
        return [Piece("aside", start, end)], "plain"
    conditional = bool(tables.IF.match(body)) and not asked
    found = _clauses(text, start, end, role, asked=asked)
    conditional = conditional and not _is_question(text[found[-1].start : end])
    return [replace(piece, conditional=conditional) for piece in found], "plain"


def _is_question(body: str) -> bool:
    return bool(tables.QUESTION_SUFFIX.search(body)) or bool(re.search(r"是否|能否|能不能|可否", body))


def _clauses(text: str, start: int, end: int, role: PieceRole, *, asked: bool) -> list[Piece]:
    """Read the parts between commas, joining neighbours where only the join reads."""
    joints = (*tables.MID_CONCLUSION.finditer(text, start, end), *tables.JOINERS.finditer(text, start, end))
    commas = (position + 1 for position in range(start, end) if text[position] in "，,")
    cuts = sorted({start, *commas, *(joint.start() for joint in joints), end})
    found: list[Piece] = []
    index = 0
    while index < len(cuts) - 1:
        options = []
        for stop in range(index + 1, min(index + 4, len(cuts))):
            piece = _clause(text, cuts[index], cuts[stop], role, asked=asked and stop == len(cuts) - 1)
            if piece is None and stop < len(cuts) - 1:
                continue  # a marker alone, or nothing
            options.append((stop, piece))
            if piece is not None and piece.read:
                break
        stop, piece = next(
            ((s, p) for s, p in options if p is not None and p.read), options[0] if options else (index + 1, None)
        )
        if piece is not None and piece.role != "aside":
            found.append(piece)
        index = stop
    return found or [Piece(role, start, end, refusal=Unreadable(Reason.NO_STATEMENT))]


def _clause(text: str, start: int, end: int, role: PieceRole, *, asked: bool) -> Piece | None:
    """Read one clause with its markers; ``None`` if only markers are there."""
    start, end = _trim(text, start, end)
    question = asked
    while match := tables.QUESTION_SUFFIX.search(text[start:end]):
        end = start + match.start()
        question = True
    start, end = _trim(text, start, end)
    while True:
        body = text[start:end]
        opener = tables.CONCLUSION_OPENER.match(body)
        if opener and opener.end():
            role = "conclusion"
        else:
            opener = tables.PREMISE_OPENER.match(body)
        if not opener or not opener.end():
            break
        start, end = _trim(text, start + opener.end(), end)
    if start >= end:
        return None
    if tables.ASIDE.match(text[start:end]):
        return Piece("aside", start, end)
    if tables.OPEN_QUESTION.match(text[start:end]) or text[start:end] in _OPEN_REMAINDERS:
        return Piece("open_question", start, end)
    if role == "conclusion" or question:
        suffix = tables.CONCLUSION_SUFFIX.search(text[start:end])
        if suffix and suffix.start():
            end = start + suffix.start()
        role = "conclusion"
    try:
        parses = parse_statement(text[start:end])
    except Unreadable as refusal:
        return Piece(role, start, end, refusal=refusal)
    return Piece(role, start, end, parses)


def parse_statement(text: str) -> tuple[Parse, ...]:
    """Return the candidate readings of one Chinese statement.

    Raises:
        Unreadable: It is outside the grammar.
    """
    body = re.sub(r"[\s“”\"「」『』]", "", text).strip(_EDGES)
    parses = _read(body)
    best = min(parse.certainty for parse in parses)
    return tuple(
        replace(parse, readings=tuple(replace(s, source=text.strip()) for s in parse.readings))
        for parse in dict.fromkeys(parses)
        if parse.certainty == best
    )


def _read(body: str) -> list[Parse]:
    while match := tables.ADVERB.match(body):
        body = body[match.end() :]
    if not body:
        raise Unreadable(Reason.NO_STATEMENT)
    for pattern, slot in _DENIALS:
        denied = pattern.fullmatch(body)
        if denied:
            return [replace(p, readings=tuple(s.contradictory for s in p.readings)) for p in _read(denied[slot])]
    affirmed = _AFFIRMED.fullmatch(body)
    if affirmed:
        return _read(affirmed["X"])
    for frame, force in _FRAMES:
        match = frame.fullmatch(body)
        if match:
            said = match.groupdict()
            predicate = verb(said["X"]) if "X" in said else noun(said["P"])
            return [Parse((Statement(force, noun(said["S"]), predicate),))]
    for pattern, force, wide in tables.DETERMINERS:
        match = pattern.match(body)
        if match and match.end() < len(body):
            return _quantified(force, body[match.end() :], wide=wide)
    return _bare(body)


def _quantified(force: Quantifier, body: str, *, wide: bool) -> list[Parse]:
    return _collect(
        _predications(body), lambda subject, kind, predicate: _combine(force, subject, kind, predicate, wide=wide), body
    )


def _combine(
    force: Quantifier, subject: Term, kind: str, predicate: Term, *, wide: bool
) -> tuple[Statement, ...] | None:
    """Put determiner and copula together."""
    negated = kind in ("not", "none")
    match force:
        case Quantifier.ALL if kind == "not_all":
            return (Statement(Quantifier.SOME_NOT, subject, predicate),)
        case Quantifier.ALL if kind == "not" and wide:
            return (Statement(Quantifier.NO, subject, predicate), Statement(Quantifier.SOME_NOT, subject, predicate))
        case Quantifier.ALL:
            return (Statement(Quantifier.NO if negated else Quantifier.ALL, subject, predicate),)
        case Quantifier.SOME if kind in ("is", "not"):
            return (Statement(Quantifier.SOME_NOT if negated else Quantifier.SOME, subject, predicate),)
        case Quantifier.NO | Quantifier.SOME_NOT if kind in ("is", "not", "all"):
            if kind == "all" and force is Quantifier.NO:
                return None
            return (Statement(force, subject, predicate.complement if negated else predicate),)
        case _:
            return None


def _bare(body: str) -> list[Parse]:
    def build(subject: Term, kind: str, predicate: Term) -> tuple[Statement, ...] | None:
        if subject.singular and kind in ("not_all", "all", "none"):
            return None
        match kind:
            case "not_all":
                return (Statement(Quantifier.SOME_NOT, subject, predicate),)
            case "is" | "all":
                return (Statement(Quantifier.ALL, subject, predicate),)
            case _:
                return (Statement(Quantifier.NO, subject, predicate),)

    parses = _collect(_predications(body, bare=True), build, body, named=True)
    return [
        parse if parse.readings[0].subject.singular or not _generic(body, parse)
        else replace(parse, notes=(*parse.notes, Note("generic_plural", (parse.readings[0].subject.name,))))
        for parse in parses
    ]  # fmt: skip


def _generic(body: str, parse: Parse) -> bool:
    after = body[len(parse.readings[0].subject.name) :]
    return not after.startswith(("都", "全", "均", "皆"))


def _collect(candidates: Iterator[_Candidate], build: _Builder, body: str, *, named: bool = False) -> list[Parse]:
    found: list[Parse] = []
    refusal: Unreadable | None = None
    for subject_text, kind, predicate_text, predicate_kind, certainty in candidates:
        try:
            subject = _subject(subject_text) if named else noun(subject_text)
            predicate = noun(predicate_text) if predicate_kind is None else verb(predicate_text)
            statements = build(subject, kind, predicate)
        except Unreadable as error:
            if refusal is None or refusal.reason is Reason.NO_STATEMENT:
                refusal = error
            continue
        if statements is None:
            refusal = refusal or Unreadable(Reason.AMBIGUOUS, body)
            continue
        notes = (Note("all_not", (subject_text,)),) if len(statements) > 1 else ()
        found.append(Parse(statements, certainty, notes))
    if found:
        return found
    held = next(((m.group(), reason) for pattern, reason in tables.FORBIDDEN if (m := pattern.search(body))), None)
    if refusal is None or refusal.reason is Reason.NO_STATEMENT:
        refusal = Unreadable(held[1], held[0]) if held else Unreadable(Reason.NO_STATEMENT, body)
    raise refusal


def _predications(body: str, *, bare: bool = False) -> Iterator[_Candidate]:
    """Yield every border between subject and predicate: copulas, then verb openers, then any place (context)."""
    taken: set[int] = set()
    for copula, kind in tables.COPULAS:
        for match in re.finditer(copula, body):
            span = range(match.start(), match.end())
            if match.start() and match.end() < len(body) and not taken & set(span):
                taken |= set(span)
                yield body[: match.start()], kind, body[match.end() :], None, Certainty.FUNCTION_WORD
    if taken and not bare and "的" not in body:
        return
    opened: set[int] = set()
    for opener, kind, kept in tables.VERB_OPENERS:
        for match in re.finditer(opener, body):
            start = match.start()
            if start and match.end() < len(body) and not ({*range(start, match.end())} & (opened | taken)):
                opened |= {*range(start, match.end())}
                certainty = Certainty.FUNCTION_WORD if kind in ("all", "none", "not_all") else Certainty.KNOWN_VERB
                yield body[:start], kind, kept + body[match.end() :], TermKind.VERB, certainty
    if not taken or "的" in body:
        for position in range(1, len(body)):
            yield body[:position], "is", body[position:], TermKind.VERB, Certainty.CONTEXT


def _subject(text: str) -> Term:
    if text in tables.NAMES or tables.NAME_SHAPE.match(text):
        return Term(text, singular=True, kind=TermKind.NAME)
    return noun(text)


def noun(text: str) -> Term:
    """Read a Chinese noun phrase or the complement of 是 as a class.

    Raises:
        Unreadable: It holds a logical word.
    """
    text = text.strip(_EDGES)
    text = _WRAPPERS.sub("", text).removeprefix("的")
    if _KIND_OF.search(text):
        text = _KIND_OF.sub("", text)
    stripped = _HEADS.sub("", text)
    adjective = stripped != text
    denied = re.match(r"(?:不是|并非)(?=.)", stripped) if adjective else re.match(r"非(?!洲|常|凡|法|典|金属)", text)
    if denied:
        return noun(stripped[denied.end() :] if adjective else text[denied.end() :]).complement
    if adjective and re.match(r"不会|不能", stripped):
        return verb(stripped[1:]).complement
    if adjective and stripped.startswith("没有"):
        return verb(stripped[1:]).complement
    if adjective and stripped.startswith("是"):
        return noun(stripped[1:])
    if adjective and re.match(r"不可.", stripped):  # "不可降解的"
        return noun(stripped[1:] + "的").complement
    if text.startswith("是") and len(text) > 1:
        return noun(text[1:])
    if text in tables.NAMES:
        return Term(text, singular=True, kind=TermKind.NAME)
    if stripped in _EVERYTHING:
        raise Unreadable(Reason.QUANTIFIER_IN_TERM, stripped)
    owner, of, _ = stripped.partition("的")
    if of and owner in tables.NAMES:
        raise Unreadable(Reason.RELATION, stripped)
    guard(stripped)
    return Term(stripped, kind=TermKind.ADJECTIVE if adjective else TermKind.NOUN)


def verb(text: str) -> Term:
    """Read a Chinese verb phrase as a class.

    Raises:
        Unreadable: It holds a logical word.
    """
    text = text.strip(_EDGES)
    guard(text)
    return Term(text, kind=TermKind.VERB)


def guard(text: str) -> None:
    """Refuse a term that still has a logical word in it.

    Raises:
        Unreadable: With the reason and the word.
    """
    masked = tables.HARMLESS.sub("〇", text)
    if not masked.strip(_EDGES):
        raise Unreadable(Reason.NO_STATEMENT, text)
    for pattern, reason in tables.FORBIDDEN:
        match = pattern.search(masked)
        if match:
            raise Unreadable(reason, match.group())
    if re.search(r"[^\w〇·\-]", masked):
        raise Unreadable(Reason.NO_STATEMENT, text)
