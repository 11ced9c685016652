"""Exact decision by implication closure, with witnesses (the models).

Universal statements are implications between literals ("is in the class" / "is not"), so a theory of them is a
2-CNF over one individual. Existential statements and existential import each demand one individual with given
literals. Individuals are independent of each other, except that a singular class has exactly one: so a set of
statements is satisfiable if and only if every demand has a consistent implication closure (after demands that name
the same individual are united). The closed sets are the individuals of a model.

A set of literals is one Python integer: bit ``i`` says "in class i", bit ``n + i`` "not in class i".
Closure of 2-CNF by strongly connected components: Aspvall, Plass and Tarjan (1979).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_EXACT_MERGE_LIMIT = 10
"""Up to this many individuals the smallest model is searched for; above it first fit is good enough."""


class Theory:
    """Universal statements over ``size`` classes, closed under implication.

    Args:
        size: Number of classes, n.
        implications: Pairs of literals (numbers below 2n), each also used backwards (contraposition).
    """

    __slots__ = ("_mask", "_reach", "_size", "always", "successors")

    def __init__(self, size: int, implications: Iterable[tuple[int, int]]) -> None:
        self._size = size
        self._mask = (1 << size) - 1
        successors: list[list[int]] = [[] for _ in range(2 * size)]
        for left, right in implications:
            successors[left].append(right)
            successors[self.negate(right)].append(self.negate(left))
        self.successors = successors
        self._reach = _reachable(successors)
        self.always = 0
        for literal in range(2 * size):
            # What follows from its own negation holds of everything there is.
            if self._reach[self.negate(literal)] >> literal & 1:
                self.always |= self._reach[literal]

    def negate(self, literal: int) -> int:
        """Return the opposite literal."""
        return literal - self._size if literal >= self._size else literal + self._size

    def close(self, literals: Iterable[int]) -> int:
        """Return everything that holds of an individual with these literals."""
        closed = self.always
        for literal in literals:
            closed |= self._reach[literal]
        return closed

    def consistent(self, closed: int) -> bool:
        """Whether no class is both in and out."""
        return not closed & (closed >> self._size) & self._mask

    def complete(self, closed: int, first: Sequence[int] = ()) -> int:
        """Decide every open class of a consistent closed set, "not in it" where possible.

        Args:
            closed: A consistent set from `close`.
            first: Classes to decide before the others.
        """
        # A closed consistent partial assignment of a satisfiable 2-CNF can always be extended, so no backtracking.
        for index in (*first, *range(self._size)):
            if not (closed >> index | closed >> (self._size + index)) & 1:
                outside = closed | self._reach[self._size + index]
                closed = outside if self.consistent(outside) else closed | self._reach[index]
        return closed


def satisfy(theory: Theory, demands: Iterable[tuple[int, ...]], singular: Sequence[int] = ()) -> list[int] | None:
    """Find individuals that meet all demands, or prove that there are none.

    Args:
        theory: The universal statements.
        demands: For each existential claim, the literals its witness must have.
        singular: Classes with exactly one member.

    Returns:
        One consistent closed set for each individual (at least one), or ``None`` if unsatisfiable.
    """
    groups = [theory.close(demand) for demand in demands] or [theory.close(())]
    if not singular:
        return groups if all(map(theory.consistent, groups)) else None
    groups.extend(theory.close((index,)) for index in singular)
    return _settle(theory, groups, singular)


def _settle(theory: Theory, groups: list[int], singular: Sequence[int]) -> list[int] | None:
    """Unite groups that bear the same name, until each name has one bearer and everything else can be nameless."""
    for index in singular:
        bearers = [group for group in groups if group >> index & 1]
        if len(bearers) > 1:
            united = 0
            for group in bearers:
                united |= group
            rest = [group for group in groups if not group >> index & 1]
            return _settle(theory, [*rest, united], singular)
    if not all(map(theory.consistent, groups)):
        return None
    for position, group in enumerate(groups):
        others = [index for index in singular if not group >> index & 1]
        if theory.consistent(group | theory.close(theory.negate(index) for index in others)):
            continue
        # "Everything but Plato is Socrates": this individual must be one of the named ones; try each.
        rest = groups[:position] + groups[position + 1 :]
        for index in others:
            settled = _settle(theory, [*rest, group | theory.close((index,))], singular)
            if settled is not None:
                return settled
        return None
    return groups


def smallest_model(theory: Theory, groups: Sequence[int], singular: Sequence[int] = ()) -> list[int]:
    """Merge compatible individuals and decide their open classes.

    Closed sets are jointly consistent exactly when they are pairwise so (their union is closed), which makes the
    smallest number of individuals a graph colouring: searched exactly for few, first fit for many.

    Args:
        theory: The universal statements.
        groups: What `satisfy` found.
        singular: Classes with exactly one member.

    Returns:
        Complete sets of literals, one for each individual.
    """
    distinct = list(dict.fromkeys(_kept_apart(theory, group, singular) for group in groups))
    merged = _first_fit(theory, distinct)
    if len(distinct) <= _EXACT_MERGE_LIMIT:
        for limit in range(1, len(merged)):
            found = _fit(theory, distinct, [], limit)
            if found is not None:
                merged = found
                break
    completed = [theory.complete(group, singular) for group in merged]
    if _names_unique(completed, singular):
        return completed
    return [theory.complete(group, singular) for group in distinct]


def _kept_apart(theory: Theory, group: int, singular: Sequence[int]) -> int:
    """Give a named individual no second name, where the statements allow: Socrates is not also Plato."""
    names = [index for index in singular if group >> index & 1]
    apart = group | theory.close(theory.negate(index) for index in singular if index not in names) if names else group
    return apart if theory.consistent(apart) else group


def _names_unique(completed: Iterable[int], singular: Iterable[int]) -> bool:
    bearers = tuple(completed)
    return all(sum(group >> index & 1 for group in bearers) == 1 for index in singular)


def _first_fit(theory: Theory, groups: Iterable[int]) -> list[int]:
    bins: list[int] = []
    for group in groups:
        for position, present in enumerate(bins):
            if theory.consistent(present | group):
                bins[position] = present | group
                break
        else:
            bins.append(group)
    return bins


def _fit(theory: Theory, groups: Sequence[int], bins: list[int], limit: int) -> list[int] | None:
    """Put every group into at most ``limit`` consistent bins, by backtracking."""
    if not groups:
        return bins
    head, *rest = groups
    for position, present in enumerate(bins):
        if theory.consistent(present | head):
            found = _fit(theory, rest, [*bins[:position], present | head, *bins[position + 1 :]], limit)
            if found is not None:
                return found
    return _fit(theory, rest, [*bins, head], limit) if len(bins) < limit else None


def _reachable(successors: Sequence[Sequence[int]]) -> list[int]:
    """Return for every node the set of nodes reachable from it, itself included, as a bit set.

    Tarjan's strongly connected components, iterative; components come out successors first, so each one's set is the
    union of sets already known.
    """
    count = len(successors)
    reach = [0] * count
    order = [0] * count  # 0: not seen yet
    low = [0] * count
    closed = [False] * count
    path: list[int] = []
    clock = 0
    for root in range(count):
        if order[root]:
            continue
        clock += 1
        order[root] = low[root] = clock
        path.append(root)
        work = [(root, iter(successors[root]))]
        while work:
            node, following = work[-1]
            for target in following:
                if not order[target]:
                    clock += 1
                    order[target] = low[target] = clock
                    path.append(target)
                    work.append((target, iter(successors[target])))
                    break
                if not closed[target]:
                    low[node] = min(low[node], order[target])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == order[node]:
                    _close_component(node, path, successors, reach, closed)
    return reach


def _close_component(
    root: int, path: list[int], successors: Sequence[Sequence[int]], reach: list[int], closed: list[bool]
) -> None:
    component = []
    member = -1
    while member != root:
        member = path.pop()
        component.append(member)
    together = 0
    for member in component:
        together |= 1 << member
        for target in successors[member]:
            together |= reach[target]
    for member in component:
        reach[member] = together
        closed[member] = True
