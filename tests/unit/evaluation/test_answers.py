"""The strict reader of free-text answers: it reads what was said, or nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama70b.evaluation import read_answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Answer: valid", "valid"),
        ("... so it does not follow.\n\nAnswer: Invalid.", "invalid"),
        ("**Answer:** **invalid**", "invalid"),
        ("**Final answer: valid**", "valid"),
        ("The answer: `valid`", "valid"),
        ("- Answer: valid", "valid"),
        ("> Answer: \u201cinvalid\u201d", "invalid"),
        ("Answer: valid\nWait, no.\nAnswer: invalid\n\n", "invalid"),
        ("Answer: invalid\nI hope this helps!", "invalid"),
        ("valid", "valid"),
        ("Invalid.", "invalid"),
        ("答案：有效", "valid"),
        ("所以推不出。\n最终答案：无效。", "invalid"),
        ("**答案**: 无效", "invalid"),
        ("无效", "invalid"),
    ],
)
def test_what_counts(text: str, answer: str) -> None:
    assert read_answer(text) == (answer, None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  \n ",
        "I think the argument is valid.",
        "Valid because all roses are flowers.",
        "This is valid.\nIt follows.",
        "Answer: valid or invalid",
        "Answer: valid/invalid",
        "Answer: not valid",
        "Answer: yes",
        "Answer: it depends",
        "Answer:",
        "Answer: valid\nAnswer: I am not sure",
        "My answer to whether it is valid: it is",
        'End with "Answer: valid" or "Answer: invalid".',
        "答案：有效或无效",
        "我认为有效，因为如此。",
    ],
)
def test_what_is_no_answer(text: str) -> None:
    answer, why = read_answer(text)
    assert answer is None
    assert why


@given(st.text(max_size=200), st.sampled_from(["valid", "invalid"]))
def test_the_last_labelled_line_decides(before: str, word: str) -> None:
    assert read_answer(f"{before}\nAnswer: {word}") == (word, None)


@given(st.text(max_size=80))
def test_never_raises_and_always_says_why(text: str) -> None:
    answer, why = read_answer(text)
    assert (answer is None) == (why is not None)
