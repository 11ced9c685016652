"""Cutting a text into clauses with roles: the grammar is tried on every part, a cut counts only if both sides read."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from llama70b.syllogism import _discourse as discourse
from llama70b.syllogism import _grammar_en
from llama70b.syllogism._kinds import Reason
from llama70b.syllogism._parse import Certainty, Parse, Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PieceRole = Literal["premise", "conclusion", "plain", "open_question", "aside"]

_LENGTH_KEPT = str.maketrans({"’": "'", "‘": "'", "\u00a0": " ", "\t": " "})
_DASH = re.compile(r"(?<=[a-z]) [-\u2013\u2014] (?=(?:and|but|so|thus|hence|therefore|while|then)\b)")
_SLASH = re.compile(r"(?<=[a-z]) / (?=[A-Z])")
_EDGES = " \t\r\n.,;:!?\"'“”*_"


@dataclass(frozen=True, slots=True)
class Piece:
    """One clause of the text and what became of it.

    Attributes:
        role: What it is in the argument; ``plain`` if nothing marks it.
        start: Where it starts in the text.
        end: Where it ends, exclusive.
        parses: Candidate readings.
        refusal: Why there is none.
        conditional: It stood in "if ..., then ..." with no question, which is an argument only if it is all there is.
        weak: A conclusion only by words that may open a premise as well ("we can say that").
    """

    role: PieceRole
    start: int
    end: int
    parses: tuple[Parse, ...] = ()
    refusal: Unreadable | None = None
    conditional: bool = False
    weak: bool = False

    @property
    def read(self) -> bool:
        """Whether the clause was read or needs no reading."""
        return self.refusal is None


class EnglishSegmenter:
    """Cuts one English text.

    Args:
        text: The user's text.
    """

    def __init__(self, text: str) -> None:
        self._text = _SLASH.sub(" . ", _DASH.sub(" , ", text.translate(_LENGTH_KEPT)))

    def pieces(self) -> list[Piece]:
        """Return the clauses in the order of the text."""
        found: list[Piece] = []
        label: PieceRole = "plain"
        for first, last, asked in self._sentences():
            start, end, labelled, named = self._unlabelled(first, last)
            role = labelled if named else label
            if start >= end:  # a label on a line of its own is for the next sentence
                label = role
                continue
            found.extend(self._sentence(start, end, role, asked=asked))
            label = "plain"
        return found

    def _sentences(self) -> Iterator[tuple[int, int, bool]]:
        start = 0
        for match in discourse.SENTENCE_END.finditer(self._text):
            body = self._text[start : match.start()].strip()
            if body and not any(map(str.isalnum, body)):
                body = ""  # "-----"
            if discourse.BARE_LABEL.match(body) and match.group().startswith("."):
                continue  # "1." opens an item, it ends no sentence
            if body:
                yield (*self._trim(start, match.start()), "?" in match.group())
            start = match.end()
        if self._text[start:].strip():
            yield (*self._trim(start, len(self._text)), False)

    def _trim(self, start: int, end: int) -> tuple[int, int]:
        while start < end and self._text[start] in _EDGES and not self._text.startswith("- ", start):
            start += 1
        while end > start and self._text[end - 1] in _EDGES:
            end -= 1
        return start, end

    def _unlabelled(self, start: int, end: int) -> tuple[int, int, PieceRole, bool]:
        """Strip "1.", "-", "Premise 2:", "Conclusion:"; return the role the label gives."""
        role: PieceRole = "plain"
        named = False
        while True:
            window = self._text[start:end] + (":" if self._text[end : end + 1] == ":" else "")
            match = discourse.LABEL.match(window)
            if not match or not match.end():
                return (*self._trim(start, end), role, named)
            if match["premise"]:
                role, named = "premise", True
            elif match["conclusion"]:
                role, named = "conclusion", True
            start = min(start + match.end(), end)

    def _sentence(self, start: int, end: int, role: PieceRole, *, asked: bool) -> list[Piece]:
        heading = discourse.HEADING.match(self._text, start, end)
        given = discourse.heading_role(heading.group()) if heading else None
        if heading and given is not None:
            start, role = heading.end(), "conclusion" if given == "conclusion" else role
            start, end = self._trim(start, end)
        text = self._text[start:end]
        if not text:
            return []
        if discourse.is_open_question(text) and (asked or text.lower().startswith("what")):
            return [Piece("open_question", start, end)]
        aside = discourse.is_instruction(text) or (discourse.is_meta_question(text) and asked)
        if aside and (asked or not self._statement(start, end, role).read):
            return [Piece("aside", start, end)]
        best: list[Piece] | None = None
        for attempt in self._attempts(start, end, role, asked=asked):
            if all(piece.read for piece in attempt):
                return attempt
            if best is None or _worth(attempt) > _worth(best):
                best = attempt
        assert best is not None
        return best

    def _attempts(self, start: int, end: int, role: PieceRole, *, asked: bool) -> Iterator[list[Piece]]:
        yield from self._questions(start, end, asked=asked)
        body = self._text[start:end]
        opener = discourse.CONCLUSION_OPENER.match(body)
        if opener and opener.end() < len(body):
            yield self._conclusion(start, end, asked=asked)
        yield from self._conditionals(start, end)
        yield from self._inner_conclusions(start, end)
        since = discourse.SINCE_OPENER.match(body)
        if since:
            yield from self._fronted(start + since.end(), end)
        if asked:
            yield self._conclusion(start, end, asked=True)
        if role == "conclusion":
            yield self._conclusion(start, end, asked=asked)
        else:
            yield self._list(start, end, role)

    def _questions(self, start: int, end: int, *, asked: bool) -> Iterator[list[Piece]]:
        body = self._text[start:end]
        match = discourse.QUESTION.search(body)
        if match and match.end() < len(body):
            before, after = self._before(start, start + match.start()), start + match.end()
            yield [*before, *self._conclusion(after, end, asked=False)]
            for given in discourse.GIVEN_INNER.finditer(self._text, after, end):
                asked_for = self._conclusion(after, given.start(), asked=False)
                yield [*before, *asked_for, *self._list(given.end(), end, "premise")]
        if not asked:
            return
        for pattern in (
            discourse.FOLLOWS_FROM_QUESTION,
            discourse.IMPLY_QUESTION,
            discourse.FOLLOW_FROM_QUOTED,
            discourse.CONCLUDE_FROM_QUESTION,
        ):
            implied = pattern.match(body)
            if implied:
                premises = self._list(start + implied.start("P"), start + implied.end("P"), "premise")
                yield [*premises, *self._conclusion(start + implied.start("X"), end, asked=False)]
        tag = discourse.TAG_QUESTION.search(body)
        if tag and tag.start():
            yield from self._attempts(start, start + tag.start(), "plain", asked=False)
        for inner in (None, *discourse.DIRECT_QUESTION_INNER.finditer(body)):
            front = start + inner.end() if inner else start
            rest = self._text[front:end]
            for pattern in (discourse.CONCLUSION_QUESTION, discourse.FOLLOWS_QUESTION):
                named = pattern.match(rest)
                if named:
                    yield [
                        *(self._before(start, start + inner.start()) if inner else ()),
                        *self._conclusion(front + named.start("X"), front + named.end("X"), asked=False),
                    ]
            direct = discourse.DIRECT_QUESTION_START.match(rest)
            if direct:
                piece = self._asked(front + direct.end(), end)
                yield [*(self._before(start, start + inner.start()) if inner else ()), piece]
                for given in discourse.GIVEN_INNER.finditer(self._text, front + direct.end(), end):
                    piece = self._asked(front + direct.end(), given.start())
                    yield [piece, *self._list(given.end(), end, "premise")]

    def _before(self, start: int, end: int) -> list[Piece]:
        """Read the premises that stand before a question."""
        start, end = self._trim(start, end)
        body = self._text[start:end]
        opener = discourse.IF_OPENER.match(body) or discourse.SINCE_OPENER.match(body)
        if opener:
            start += opener.end()
        for word in (" then", " and", " so", " now"):
            if self._text[start:end].lower().endswith(word):
                end -= len(word)
        start, end = self._trim(start, end)
        return self._list(start, end, "premise") if end > start else []

    def _conditionals(self, start: int, end: int) -> Iterator[list[Piece]]:
        """Read "If A and B, then C" as an argument; the reader checks that it stands alone."""
        body = self._text[start:end]
        opener = discourse.IF_OPENER.match(body)
        if not opener:
            return
        cuts = [(m.start(), m.end()) for m in discourse.THEN_INNER.finditer(body)]
        cuts += [(i, i + 1) for i, char in reversed(list(enumerate(body))) if char == ","]
        for before, after in cuts:
            if before <= opener.end():
                continue
            pieces = [
                *self._list(start + opener.end(), start + before, "premise"),
                *self._conclusion(start + after, end, asked=False),
            ]
            yield [replace(piece, conditional=True) for piece in pieces]

    def _inner_conclusions(self, start: int, end: int) -> Iterator[list[Piece]]:
        body = self._text[start:end]
        for match in discourse.CONCLUSION_INNER.finditer(body):
            if match.start() and match.end() < len(body):
                yield [
                    *self._before(start, start + match.start()),
                    *self._conclusion(start + match.start("mark"), end, asked=False),
                ]
        whole = self._statement(start, end, "plain")
        if whole.read and whole.parses[0].certainty is not Certainty.CONTEXT:
            return  # "items classified as drinks are liquids" gives no reason
        for pattern, swapped in ((discourse.BECAUSE_INNER, True), (discourse.IMPLY_INNER, False)):
            for match in pattern.finditer(body):
                left, right = (start, start + match.start()), (start + match.end(), end)
                if not match.start() or right[0] >= end:
                    continue
                conclusion, premises = (left, right) if swapped else (right, left)
                parts = [self._conclusion(*conclusion, asked=False), self._list(*premises, "premise")]
                cut = [piece for part in (parts if swapped else parts[::-1]) for piece in part]
                yield [replace(piece, conditional=True) for piece in cut] if match.groupdict().get("if") else cut

    def _fronted(self, start: int, end: int) -> Iterator[list[Piece]]:
        """Read "Since A and B, C"."""
        for position in range(end - 1, start, -1):
            if self._text[position] == ",":
                yield [*self._list(start, position, "premise"), *self._conclusion(position + 1, end, asked=False)]

    def _conclusion(self, start: int, end: int, *, asked: bool) -> list[Piece]:
        start, end = self._trim(start, end)
        marks = []
        while True:
            opener = discourse.CONCLUSION_OPENER.match(self._text[start:end])
            if not opener or start + opener.end() >= end:
                break
            marks.append(opener.group())
            start += opener.end()
        if discourse.is_open_question(self._text[start:end]) and not marks:
            return [Piece("open_question", start, end)]
        piece = self._statement(start, end, "conclusion")
        weak = bool(marks) and not any(discourse.DRAWN.search(mark) for mark in marks)
        piece = replace(piece, weak=weak)
        if not piece.read and asked:
            question = self._asked(start, end)
            return [question if question.read else piece]
        return [piece]

    def _list(self, start: int, end: int, role: PieceRole) -> list[Piece]:
        """Read one statement, or several joined by commas and "and"."""
        start, end = self._opened(*self._trim(start, end))
        whole = self._statement(start, end, role)
        if whole.read:
            return [whole]
        for match in discourse.LIST_INNER.finditer(self._text[start:end]):
            if not match.start() or start + match.end() >= end:
                continue
            left = self._statement(*self._opened(*self._trim(start, start + match.start())), role)
            if left.read:
                rest = self._list(start + match.end(), end, role)
                if all(piece.read for piece in rest):
                    return [left, *rest]
        return [whole]

    def _opened(self, start: int, end: int) -> tuple[int, int]:
        """Strip "given that", "moreover" and the like."""
        while True:
            opener = discourse.PREMISE_OPENER.match(self._text[start:end])
            if not opener or start + opener.end() >= end or not opener.end():
                return start, end
            start += opener.end()

    def _statement(self, start: int, end: int, role: PieceRole) -> Piece:
        start, end = self._trim(start, end)
        try:
            parses = _grammar_en.parse_statement(self._text[start:end], conclusion=role == "conclusion")
        except Unreadable as refusal:
            return Piece(role, start, end, refusal=refusal)
        return Piece(role, start, end, parses)

    def _asked(self, start: int, end: int) -> Piece:
        start, end = self._trim(start, end)
        try:
            parses = _grammar_en.parse_question(self._text[start:end])
        except Unreadable as refusal:
            return Piece("conclusion", start, end, refusal=refusal)
        return Piece("conclusion", start, end, parses)


def _worth(pieces: Sequence[Piece]) -> tuple[int, int]:
    """How far an unsuccessful cut got: pieces read, then how telling the refusal is."""
    telling = sum(
        piece.refusal is not None and piece.refusal.reason not in (Reason.NO_STATEMENT, Reason.EMPTY)
        for piece in pieces
    )
    return (sum(piece.read for piece in pieces) - sum(not piece.read for piece in pieces), telling)
