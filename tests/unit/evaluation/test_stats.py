"""The statistics against their textbook formulas, computed here in another way."""

from itertools import pairwise
from math import comb, sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llama70b.evaluation._stats import busy_seconds, content_effect, holm, mcnemar, percentiles, share

# Importing scipy takes seconds on a busy machine, and the first example pays for it.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

COUNT = st.integers(0, 60)


@given(COUNT, COUNT)
def test_wilson(right: int, wrong: int) -> None:
    asked = right + wrong
    found = share(right, asked)
    if not asked:
        assert (found.value, found.low, found.high) == (None, None, None)
        return
    z, p = 1.959963984540054, right / asked
    centre = (p + z * z / (2 * asked)) / (1 + z * z / asked)
    half = z * sqrt(p * (1 - p) / asked + z * z / (4 * asked * asked)) / (1 + z * z / asked)
    assert found.value == p
    assert found.low == pytest.approx(max(0.0, centre - half), abs=1e-9)
    assert found.high == pytest.approx(min(1.0, centre + half), abs=1e-9)


@given(COUNT, COUNT)
def test_mcnemar_is_the_exact_binomial(one: int, other: int) -> None:
    n = one + other
    expected = 1.0 if n == 0 else min(1.0, 2 * sum(comb(n, k) for k in range(min(one, other) + 1)) / 2**n)
    assert mcnemar(one, other) == pytest.approx(expected)
    assert mcnemar(one, other) == pytest.approx(mcnemar(other, one))


def test_the_figures_of_the_notes() -> None:
    assert mcnemar(0, 7) == pytest.approx(0.015625)
    assert mcnemar(0, 12) == pytest.approx(0.00048828125)


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm(values: list[float]) -> None:
    found = holm(values)
    assert all(before <= after <= 1 for before, after in zip(values, found, strict=True))
    # By definition: the largest of (m - rank + 1) p over all that are not larger.
    order = sorted(values)
    for value, corrected in zip(values, found, strict=True):
        steps = [min(1.0, (len(values) - rank) * p) for rank, p in enumerate(order) if p <= value]
        assert corrected == pytest.approx(max(steps))


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


def test_content_effect() -> None:
    judged = (
        [(True, True, n < 9) for n in range(10)]
        + [(True, False, n < 5) for n in range(10)]
        + [(False, True, n < 2) for n in range(10)]
        + [(False, False, n < 8) for n in range(10)]
    )
    found = content_effect(judged)
    assert list(found.cells.values()) == [90, 50, 20, 80]
    assert found.bias == pytest.approx((90 + 80) / 2 - (50 + 20) / 2)
    within, across = (abs(90 - 50) + abs(20 - 80)) / 2, (abs(90 - 20) + abs(50 - 80)) / 2
    assert found.total == pytest.approx((within + across) / 2)


def test_content_effect_of_one_who_is_always_right_is_nought() -> None:
    found = content_effect([(valid, believable, True) for valid in (True, False) for believable in (True, False)])
    assert (found.total, found.bias) == (0, 0)


def test_content_effect_needs_all_four_cells() -> None:
    found = content_effect([(True, True, True), (False, True, False)])
    assert found.total is None
    assert found.bias is None
    assert found.cells["valid believable"] == 100
    assert found.cells["valid unbelievable"] is None


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 8)), max_size=20))
def test_busy_seconds(given_spans: list[tuple[int, int]]) -> None:
    spans = [(start, start + length) for start, length in given_spans]
    ticks = {tick for start, end in spans for tick in range(start, end)}
    assert busy_seconds(spans) == len(ticks)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=40))
def test_percentiles(values: list[float]) -> None:
    found = percentiles(values)
    assert found is not None
    median, high = found
    assert min(values) <= median <= high <= max(values) or high == pytest.approx(max(values))
    ordered = sorted(values)
    assert all(one <= other for one, other in pairwise(ordered))
    place = 0.95 * (len(ordered) - 1)
    low = int(place)
    up = min(low + 1, len(ordered) - 1)
    assert high == pytest.approx(ordered[low] + (place - low) * (ordered[up] - ordered[low]))


def test_percentiles_of_nothing() -> None:
    assert percentiles([]) is None
