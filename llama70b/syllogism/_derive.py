"""The derivation paragraph: a chain of premises followed step by step, in English or Chinese."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llama70b.syllogism import _forms
from llama70b.syllogism._kinds import Language, Verdict
from llama70b.syllogism._verbalise import says, statement_words, term_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from llama70b.syllogism._problem import Pair, Problem
    from llama70b.syllogism._results import Model
    from llama70b.syllogism._types import Statement

_SPOKEN_STEPS = 12
"""Longer chains are abridged in words."""

Step = tuple[int, int]
"""A literal reached, and the position of the premise that gives it."""

WORDS: dict[Language, dict[str, str]] = {
    "en": {
        "take": "Take anything that {start}.",
        "witness": "By premise {number} there is something that {first} and {second}.",
        "granted": "Something {start}, since every class named is taken to have a member.",
        "named": "{start} is one definite individual.",
        "step": "By premise {number} it {clause}.",
        "more": "({count} further steps of the same kind.)",
        "so": "So {goal}",
        "form": "This is {name} (mood {mood}, figure {figure}).",
        "against": "That rules the conclusion out: {conclusion}",
        "clash": "No individual can be both in and out of a class, so the premises cannot all be true; "
        "classically anything would follow from them.",
        "together": "Premises {numbers} cannot be true together with: {denial}",
        "open": "The premises leave it open. They and the conclusion are all true if these are all the things there "
        "are: {model}. They are true and the conclusion is false if these are: {countermodel}.",
        "nothing": "It holds whatever the premises say.",
    },
    "zh": {
        "take": "任取一个个体，它{start}。",
        "witness": "由前提{number}，存在一个个体，它{first}，并且{second}。",
        "granted": "存在一个个体，它{start}（每个提到的类都设为非空）。",
        "named": "{start}是一个确定的个体。",
        "step": "由前提{number}，它{clause}。",
        "more": "（另有{count}个同类步骤。）",
        "so": "所以{goal}",
        "form": "这是{name}式（{mood}，第{figure}格）。",
        "against": "这就排除了结论：{conclusion}",
        "clash": "没有个体能既属于又不属于一个类，所以这些前提不能同真；从矛盾的前提什么都能推出。",
        "together": "前提{numbers}与下面的否定不能同真：{denial}",
        "open": "前提没有决定结论。如果世界上只有这些个体：{model}，那么前提和结论都真；"
        "如果只有这些个体：{countermodel}，那么前提真而结论假。",
        "nothing": "无论前提如何，它都成立。",
    },
}


class _Graph:
    """The implications of some premises, each edge labelled with its premise."""

    def __init__(self, problem: Problem, used: Iterable[int], more: Sequence[Pair] = ()) -> None:
        self.edges: list[list[Step]] = [[] for _ in range(2 * problem.size)]
        facts = [(problem.facts[position], position) for position in used]
        facts += [((True, pair), len(problem.facts)) for pair in more]
        for (universal, (left, right)), position in facts:
            if universal:
                self.edges[left].append((right, position))
                self.edges[problem.opposite(right)].append((problem.opposite(left), position))

    def tree(self, start: int) -> dict[int, tuple[int, int]]:
        """Return for every literal reachable from ``start`` the literal before it and the premise between them."""
        before: dict[int, tuple[int, int]] = {start: (start, -1)}
        queue = deque([start])
        while queue:
            node = queue.popleft()
            for target, position in self.edges[node]:
                if target not in before:
                    before[target] = (node, position)
                    queue.append(target)
        return before


def _path(before: dict[int, tuple[int, int]], goal: int) -> list[Step]:
    steps: list[Step] = []
    while before[goal][1] >= 0:
        previous, position = before[goal]
        steps.append((goal, position))
        goal = previous
    return steps[::-1]


@dataclass(frozen=True, slots=True)
class _Chain:
    """Where a derivation starts and its steps.

    Attributes:
        start: The literals of the individual it is about.
        origin: The existential premise that gives the individual, if one does.
        exists: The individual is known to exist; otherwise it is any that there may be.
        steps: What premise after premise adds.
    """

    start: tuple[int, ...]
    origin: int | None
    exists: bool
    steps: tuple[Step, ...]


def refutation_premises(problem: Problem, goal: Sequence[Statement]) -> tuple[int, ...] | None:
    """Return premises whose chain makes one demand inconsistent with the goal; ``None`` if no single chain does."""
    count = len(problem.facts)
    pairs = [(statement.quantifier.universal, problem.pair(statement)) for statement in goal]
    graph = _Graph(problem, range(count), [pair for universal, pair in pairs if universal])
    # The goal first: its demand is where a refutation of the whole usually starts.
    starts: list[tuple[tuple[int, ...], int]] = [(pair, count) for universal, pair in pairs if not universal]
    starts += [(pair, position) for position, (universal, pair) in enumerate(problem.facts) if not universal]
    starts += [(granted, count) for granted in problem.granted]
    for literals, position in starts:
        steps = _clash(problem, graph, literals)
        if steps is not None:
            used = {step[1] for step in steps} | {position}
            return tuple(sorted(used - {count}))
    return None


def _clash(problem: Problem, graph: _Graph, literals: Sequence[int]) -> list[Step] | None:
    """Return the steps from some of the literals to a class and its complement."""
    for tree in map(graph.tree, literals):
        for literal in literals:
            if problem.opposite(literal) in tree:
                return _path(tree, problem.opposite(literal))
    return None


def derive(
    problem: Problem,
    premises: Sequence[Statement],
    conclusion: Statement,
    *,
    verdict: Verdict,
    needed: Sequence[int],
    countermodel: Model | None,
    model: Model | None,
) -> str:
    """Return the paragraph that shows why the verdict holds, from the needed premises alone."""
    language = conclusion.language
    words = WORDS[language]
    match verdict:
        case Verdict.UNDETERMINED:
            assert model is not None
            assert countermodel is not None
            return words["open"].format(model=model.words(language), countermodel=countermodel.words(language))
        case Verdict.INCONSISTENT_PREMISES:
            chain = _find_clash(problem, needed)
            return _spoken(problem, chain, language) + _gap(language) + words["clash"] if chain else words["clash"]
        case Verdict.ENTAILED:
            return _derivation(problem, premises, conclusion, needed, language)
        case Verdict.CONTRADICTED:
            against = words["against"].format(conclusion=statement_words(conclusion))
            return _derivation(problem, premises, conclusion.contradictory, needed, language) + _gap(language) + against


def _derivation(
    problem: Problem, premises: Sequence[Statement], goal: Statement, needed: Sequence[int], language: Language
) -> str:
    words = WORDS[language]
    chain = _find_chain(problem, goal, needed)
    if chain is None:
        if not needed:
            return words["nothing"]
        numbers = ", ".join(str(position + 1) for position in needed)
        return words["together"].format(numbers=numbers, denial=statement_words(goal.contradictory))
    sentences = [_spoken(problem, chain, language), words["so"].format(goal=_inside(goal, language))]
    shape = _forms.mood_and_figure(premises, goal)
    name = _forms.name(*shape) if shape else None
    if shape and name:
        sentences.append(words["form"].format(name=name, mood=shape[0], figure=shape[1]))
    return _gap(language).join(sentence for sentence in sentences if sentence)


def _inside(goal: Statement, language: Language) -> str:
    sentence = statement_words(goal)
    if language == "zh" or goal.subject.singular:
        return sentence
    return sentence[0].lower() + sentence[1:]


def _gap(language: Language) -> str:
    return " " if language == "en" else ""


def _find_chain(problem: Problem, goal: Statement, needed: Sequence[int]) -> _Chain | None:
    graph = _Graph(problem, needed)
    subject, target = problem.pair(goal)
    if goal.quantifier.universal:
        tree = graph.tree(subject)
        if target in tree:
            return _Chain((subject,), None, False, tuple(_path(tree, target)))
        if not goal.subject.singular:
            return None
    for start, origin in _origins(problem, needed):
        trees = [graph.tree(literal) for literal in start]
        paths = [
            next((_path(tree, literal) for tree in trees if literal in tree), None) for literal in (subject, target)
        ]
        if None not in paths:
            return _Chain(start, origin, True, tuple(dict.fromkeys(step for path in paths if path for step in path)))
    return None


def _find_clash(problem: Problem, needed: Sequence[int]) -> _Chain | None:
    graph = _Graph(problem, needed)
    for start, origin in _origins(problem, needed):
        steps = _clash(problem, graph, start)
        if steps is not None:
            return _Chain(start, origin, True, tuple(steps))
    return None


def _origins(problem: Problem, needed: Sequence[int]) -> list[tuple[tuple[int, ...], int | None]]:
    """Return the individuals that must exist: those of existential premises, named ones, granted ones."""
    origins: list[tuple[tuple[int, ...], int | None]] = [
        (problem.facts[position][1], position) for position in needed if not problem.facts[position][0]
    ]
    origins.extend(((index,), None) for index in problem.singular)
    origins.extend((granted, None) for granted in problem.granted)
    return origins


def _spoken(problem: Problem, chain: _Chain, language: Language) -> str:
    words = WORDS[language]
    clauses = [says(problem.term(literal), language=language) for literal in chain.start]
    first = problem.term(chain.start[0])
    if chain.origin is not None:
        opening = words["witness"].format(number=chain.origin + 1, first=clauses[0], second=clauses[1])
    elif first.singular and not first.negated:
        opening = words["named"].format(start=term_words(first))
    else:
        opening = words["granted" if chain.exists else "take"].format(start=clauses[0])
    steps = [
        words["step"].format(number=position + 1, clause=says(problem.term(literal), language=language))
        for literal, position in chain.steps[:_SPOKEN_STEPS]
    ]
    if len(chain.steps) > _SPOKEN_STEPS:
        steps.append(words["more"].format(count=len(chain.steps) - _SPOKEN_STEPS))
    return _gap(language).join((opening, *steps))
