"""The questions: one argument each, with the right answer; read from and written to JSON Lines. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast, get_args

from llama70b.errors import ConfigurationError
from llama70b.syllogism import Language, Quantifier, Statement, Term, TermKind

_HINT = 'each line: {"id": "q1", "text": "All ... So ...", "valid": true, "plausible": false}; plausible is optional'


@dataclass(frozen=True, slots=True)
class Design:
    """What the generator knows about its item.

    Attributes:
        premises: The two premises, in the order of the text.
        conclusion: The conclusion.
        mood: Letters of major premise, minor premise and conclusion ("AII").
        figure: Traditional figure, 1 to 4.
        pair: The premises as psychology numbers them, letters and figure in the order of the text ("AI1").
        stratum: Name of a valid form, or the fallacy of an invalid one.
        vocabulary: `believable`, `unbelievable` or `nonsense`; of the conclusion.
        level: How far the wording is from the canonical sentences: 0, 1 or 2.
        needs_import: Valid only if every class named has a member.
    """

    premises: tuple[Statement, ...]
    conclusion: Statement
    mood: str
    figure: int
    pair: str
    stratum: str
    vocabulary: str
    level: int
    needs_import: bool

    @property
    def statements(self) -> tuple[Statement, ...]:
        """Premises, then the conclusion."""
        return (*self.premises, self.conclusion)

    @property
    def form(self) -> str:
        """Mood and figure ("AII-2")."""
        return f"{self.mood}-{self.figure}"

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able object."""
        return {
            "premises": [_statement_out(statement) for statement in self.premises],
            "conclusion": _statement_out(self.conclusion),
            **{name: getattr(self, name) for name in _PLAIN},
        }

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Design:
        """Read it back from `to_dict`'s object."""
        return cls(
            premises=tuple(_statement_in(statement) for statement in value["premises"]),
            conclusion=_statement_in(value["conclusion"]),
            **{name: value[name] for name in _PLAIN},
        )


_PLAIN = ("mood", "figure", "pair", "stratum", "vocabulary", "level", "needs_import")


@dataclass(frozen=True, slots=True)
class Item:
    """One argument to judge.

    Attributes:
        id: Unique in its set.
        text: The whole argument in words.
        valid: The right answer, under the run's convention of existential import.
        plausible: Whether the conclusion is true in the real world; None when that makes no sense or is not known.
        language: Of the text.
        design: What the generator knows; None for items of the user's.
    """

    id: str
    text: str
    valid: bool
    plausible: bool | None = None
    language: Language = "en"
    design: Design | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON-able object of one line."""
        return {
            "id": self.id,
            "text": self.text,
            "valid": self.valid,
            "plausible": self.plausible,
            "language": self.language,
            **({"design": self.design.to_dict()} if self.design else {}),
        }


def dump_items(items: Iterable[Item]) -> str:
    """Return items as JSON Lines."""
    return "".join(json.dumps(item.to_dict(), ensure_ascii=False) + "\n" for item in items)


def load_items(text: str, *, source: str = "items") -> tuple[Item, ...]:
    """Read items from JSON Lines: `{"id", "text", "valid", "plausible"?}` a line; other keys are passed over.

    Args:
        text: The file's text; blank lines are allowed.
        source: Its name, for errors.

    Raises:
        ConfigurationError: A line is no such object, or an id comes twice; the message names the line.
    """
    items: list[Item] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{source}, line {number}"
        item = _item(line, where)
        if item.id in seen:
            raise ConfigurationError(f"{where}: the id {item.id!r} is already on line {seen[item.id]}", hint=_HINT)
        seen[item.id] = number
        items.append(item)
    if not items:
        raise ConfigurationError(f"{source} holds no item", hint=_HINT)
    return tuple(items)


def _item(line: str, where: str) -> Item:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise ConfigurationError(f"{where}: not JSON: {error}", hint=_HINT) from None
    if not isinstance(value, dict):
        raise ConfigurationError(f"{where}: {type(value).__name__}, not an object", hint=_HINT)
    missing = [name for name in ("id", "text", "valid") if name not in value]
    if missing:
        raise ConfigurationError(f"{where}: {', '.join(missing)} missing", hint=_HINT)
    identity, text, plausible = value["id"], value["text"], value.get("plausible")
    if isinstance(identity, bool) or not isinstance(identity, str | int) or identity == "":
        raise ConfigurationError(f"{where}: id is {identity!r}, neither text nor a whole number", hint=_HINT)
    if not isinstance(text, str) or not text.strip():
        raise ConfigurationError(f"{where}: text is empty or not text", hint=_HINT)
    if not isinstance(value["valid"], bool):
        raise ConfigurationError(f"{where}: valid is {value['valid']!r}; it must be true or false", hint=_HINT)
    if not isinstance(plausible, bool | None):
        raise ConfigurationError(f"{where}: plausible is {plausible!r}; it must be true, false or null", hint=_HINT)
    language = value.get("language") or _language(text)
    if language not in get_args(Language):
        raise ConfigurationError(f"{where}: language is {language!r}; it must be en or zh", hint=_HINT)
    try:
        design = Design.of(value["design"]) if value.get("design") else None
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(f"{where}: design cannot be read: {error!r}", hint="leave it out") from None
    return Item(str(identity), text, value["valid"], plausible, cast("Language", language), design)


def _language(text: str) -> Language:
    return "zh" if any("\u4e00" <= char <= "\u9fff" for char in text) else "en"


def _statement_out(statement: Statement) -> list[Any]:
    return [
        statement.quantifier.letter,
        *([term.name, term.kind.value if term.kind else None] for term in statement.terms),
    ]


def _statement_in(value: list[Any]) -> Statement:
    letter, subject, predicate = value
    one, other = (Term(str(name), kind=TermKind(kind) if kind else None) for name, kind in (subject, predicate))
    return Statement(_QUANTIFIERS[letter], one, other)


_QUANTIFIERS = {quantifier.letter: quantifier for quantifier in Quantifier}
