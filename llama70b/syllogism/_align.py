"""Which words name the same class: number, agreement and wrappers do not matter; anything more is an assumption."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from llama70b.syllogism._kinds import TermKind
from llama70b.syllogism._lexicon import VERBS
from llama70b.syllogism._morphology import head_index, lemmas
from llama70b.syllogism._parse import Note
from llama70b.syllogism._types import Statement, Term

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Key = tuple[frozenset[str], ...]

_DROPPED = frozenset({"a", "an", "the"})
_SAME_WORD = {
    "its": "their",
    "his": "their",
    "her": "their",
    "which": "that",
    "who": "that",
    "are": "is",
    "individuals": "people",
    "persons": "people",
}
_LOOSE_PREFIX = re.compile(
    r"(?:people|individuals|creatures|beings|animals|persons|organisms|substances|objects|items|entities|materials|"
    r"figures|shapes|products|devices|places|foods|plants|bodies) "
    r"(?:(?:who|that|which) (?:are )?|(?=(?:in|on|at|from|inside|outside|with|over|under|near|without|born|made|able|"
    r"eligible|responsible|fond|good|full|\w+ing|\w+ed|\w+er than) ))"
)
_PROGRESSIVE = re.compile(r"(?P<stem>\w{2,})ing(?P<rest> .+)")
_RELATIVE_ADJECTIVE = re.compile(r"(?P<noun>[\w-]+) that are (?P<adjective>[\w-]+)")
_LOOSE_SUFFIX = re.compile(
    r" (?:people|individuals?|beings?|creatures?|persons?|organisms?|substances?|materials?|"
    r"objects?|items?|entities|entity|figures?|shapes?)$"
)
_LOOSE_SUFFIX_ZH = re.compile(r"的(?:人|动物|生物|物质)$")
_LETTERS = re.compile(r"[A-Z]'?s")
"""The plural of a letter: "As", "B's"."""
_NEGATIVE_PREFIX = re.compile(r"non(?!e\b|sense)")


@lru_cache(maxsize=4096)
def key(name: str) -> Key:
    """Return what two names of one class have in common: for each word the possible base forms."""
    if not name.isascii() and any("\u4e00" <= char <= "\u9fff" for char in name):
        return (frozenset({name.replace(" ", "")}),)
    words = [word[0] if _LETTERS.fullmatch(word) else word for word in name.split()]
    lowered = [_SAME_WORD.get(word.lower(), word.lower()) for word in words]
    kept = [word for word in lowered if word not in _DROPPED] or lowered
    return tuple(lemmas(word) for word in kept)


def same(left: Key, right: Key) -> bool:
    """Whether two keys agree word by word."""
    return len(left) == len(right) and all(a & b for a, b in zip(left, right, strict=True))


def akin(left: Term, right: Term) -> bool:
    """Whether words of these kinds can name one class: the noun "flies" and the verb "flies" do not."""
    if left.language == "zh":  # no inflection: one word is one class, whatever its part of speech
        return True
    return left.kind is None or right.kind is None or (left.kind is TermKind.VERB) == (right.kind is TermKind.VERB)


def loose(name: str) -> str:
    """Return a name without a head that only says that it is a person or a being."""
    if name.startswith("able to "):
        return "can " + name.removeprefix("able to ")
    if not name.isascii() and _LOOSE_SUFFIX_ZH.search(name):
        return _LOOSE_SUFFIX_ZH.sub("", name)
    bare = _LOOSE_SUFFIX.sub("", _LOOSE_PREFIX.sub("", name))
    if bare != name and bare.istitle() and " " not in bare:
        return name  # "the wine is French" makes no "French people" of it
    progressive = _PROGRESSIVE.fullmatch(bare)
    if progressive:  # "anyone wearing a helmet" wears one
        stem = progressive["stem"]
        base = next((form for form in (stem, stem + "e", stem[:-1]) if form in VERBS), None)
        bare = f"{base}{progressive['rest']}" if base else bare
    if bare.startswith("with "):
        bare = "have " + bare.removeprefix("with ")
    restricted = _RELATIVE_ADJECTIVE.fullmatch(bare)
    return f"{restricted['adjective']} {restricted['noun']}" if restricted else bare


class Alignment:
    """Names grouped into classes.

    Args:
        terms: All terms of an argument in order of appearance.
        loosely: Also unite names that differ only by a head like "people who are".
    """

    def __init__(self, terms: Iterable[Term], *, loosely: bool = False) -> None:
        self.notes: list[Note] = []
        self._groups: list[list[Term]] = []
        for term in terms:
            group = self._find(term, loosely=loosely)
            if group is None:
                self._groups.append([term])
            else:
                group.append(term)
        self._chosen = {(term.name, term.kind): self._choose(group) for group in self._groups for term in group}

    def _find(self, term: Term, *, loosely: bool) -> list[Term] | None:
        wanted = key(term.name)
        for group in self._groups:
            if any(akin(term, known) and same(wanted, key(known.name)) for known in group):
                return group
        if not loosely:
            return None
        bare = key(loose(term.name))
        for group in self._groups:
            for known in group:
                # A verb meets a noun here only through a relative clause: "people who smoke" and "smoke".
                if (akin(term, known) or " " in known.name + term.name) and same(bare, key(loose(known.name))):
                    self.notes.append(Note("same", (known.name, term.name)))
                    return group
        return None

    @staticmethod
    def _choose(group: Sequence[Term]) -> Term:
        """Take the first name, a noun if there is one; a name that is singular once is singular throughout."""
        singular = any(term.singular for term in group)
        preferred = (TermKind.NAME,) if singular else (TermKind.NOUN, TermKind.MASS)
        chosen = next((term for term in group if term.kind in preferred), group[0])
        return Term(chosen.name, singular=singular, kind=TermKind.NAME if singular else chosen.kind)

    def names(self, term: Term) -> frozenset[str]:
        """Return all names of a term's class."""
        group = next(group for group in self._groups if term in group)
        return frozenset(known.name.lower() for known in group)

    @property
    def homonyms(self) -> bool:
        """Whether two classes would go by one name: "fish" that swim and to "fish"."""
        names = [self._choose(group).name for group in self._groups]
        return len(set(names)) < len(names)

    @property
    def size(self) -> int:
        """How many classes there are."""
        return len(self._groups)

    def term(self, term: Term) -> Term:
        """Return a term under the common name of its class."""
        chosen = self._chosen[term.name, term.kind]
        return chosen.complement if term.negated else chosen

    def statement(self, statement: Statement) -> Statement:
        """Return a statement under the common names."""
        return Statement(
            statement.quantifier, self.term(statement.subject), self.term(statement.predicate), statement.source
        )


def with_heads(statements: Sequence[Statement]) -> tuple[list[Statement], list[Note]]:
    """Read "the wine is French" as "is French wine" where the argument also speaks of French wine.

    What is a wine in the cellar is a wine: the noun the subject already has adds nothing to the predicate.
    """
    terms = {term.name: term for statement in statements for term in statement.terms}
    notes: list[Note] = []

    def predicate(statement: Statement) -> Term:
        said, subject = statement.predicate, statement.subject
        if said.kind not in (TermKind.ADJECTIVE, TermKind.VERB, TermKind.MASS) or subject.negated:
            return said
        words = subject.name.split()
        if subject.singular:
            return said
        head = words[head_index(words)]
        verb = said.name if said.kind is TermKind.VERB else f"are {said.name}"
        wanted = [
            key(f"{head} that {verb}"),
        ]
        if said.kind is not TermKind.VERB:
            wanted += [key(f"{said.name} {head}"), key(f"{head} {said.name}")]
        for name, term in terms.items():
            if not term.negated and name != subject.name and any(same(key(name), one) for one in wanted):
                notes.append(Note("same", (name, said.name)))
                return Term(name, negated=said.negated, kind=term.kind)
        return said

    changed = [
        Statement(statement.quantifier, statement.subject, predicate(statement), statement.source)
        for statement in statements
    ]
    return changed, notes


def without_prefix_negation(statements: Sequence[Statement]) -> tuple[list[Statement], list[Note]]:
    """Read "nonmembers" as the complement of "members" where both occur."""
    names = {term.name for statement in statements for term in statement.terms}
    notes: list[Note] = []

    def plain(term: Term) -> Term:
        if not _NEGATIVE_PREFIX.match(term.name):
            return term
        rest = _NEGATIVE_PREFIX.sub("", term.name).removeprefix("-")
        partner = next((name for name in names if name != term.name and same(key(name), key(rest))), None)
        if partner is None:
            return term
        notes.append(Note("prefix", (term.name, partner)))
        return Term(partner, negated=not term.negated, kind=term.kind)

    return _mapped(statements, plain), notes


def _mapped(statements: Sequence[Statement], change: Callable[[Term], Term]) -> list[Statement]:
    return [
        Statement(statement.quantifier, change(statement.subject), change(statement.predicate), statement.source)
        for statement in statements
    ]
