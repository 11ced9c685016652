"""The reader of free-text verdicts, on the answers in `answers/`: English and Chinese, short and long."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama70b.reasoning.stance import Claim, Stance, read_stance

ANSWERS = Path(__file__).with_name("answers")
ROSES = Claim.of("Some roses fade quickly.", "roses", "fade quickly", "some")
ROSES_ZH = Claim.of("有些玫瑰凋谢得快", "玫瑰", "凋谢", "some")


def corpus() -> list[tuple[Stance, str]]:
    return [
        (stance, answer.strip())
        for stance in Stance
        for answer in (ANSWERS / f"{stance.value}.txt").read_text(encoding="utf-8").split("\n===\n")
    ]


def claim_for(answer: str) -> Claim:
    return ROSES_ZH if any("\u4e00" <= char <= "\u9fff" for char in answer) else ROSES


@pytest.mark.parametrize(("stance", "answer"), corpus())
def test_reads_the_verdict(stance: Stance, answer: str) -> None:
    assert read_stance(answer, claim=claim_for(answer)).stance is stance


def test_the_corpus_is_there() -> None:
    counts = {stance: sum(one is stance for one, _ in corpus()) for stance in Stance}
    assert counts[Stance.DOES_NOT_FOLLOW] >= 100
    assert counts[Stance.FOLLOWS] >= 40
    assert min(counts.values()) >= 4


@pytest.mark.parametrize("answer", ["", " \n", "?", "。", "..."])
def test_nothing_is_no_verdict(answer: str) -> None:
    assert read_stance(answer).stance is Stance.UNCLEAR


def test_a_hint_is_told_from_a_verdict() -> None:
    assert read_stance("The flowers that fade quickly may or may not be roses.", claim=ROSES).weak
    assert not read_stance("It does not follow.", claim=ROSES).weak


def test_a_change_of_mind_is_noted() -> None:
    reading = read_stance("Yes, it follows. Wait. No, it does not follow.", claim=ROSES)
    assert reading.stance is Stance.DOES_NOT_FOLLOW
    assert reading.changed
    assert "does not follow" in reading.quote


def test_without_the_claim_the_plain_verdicts_are_read_all_the_same() -> None:
    assert read_stance("No, we cannot conclude that some roses fade quickly.").stance is Stance.DOES_NOT_FOLLOW
    assert read_stance("Yes, some roses fade quickly.").stance is Stance.FOLLOWS


@given(st.text(max_size=300))
def test_any_text_is_read_without_an_error(answer: str) -> None:
    assert read_stance(answer, claim=ROSES).stance in Stance


@pytest.mark.timeout(20)
@pytest.mark.parametrize("unit", ["no not ", "we can ", "it is not true that ", "(", "\\boxed{", "不能", "yes, ", "a"])
def test_a_long_answer_takes_no_longer_than_it_should(unit: str) -> None:
    assert read_stance(unit * 20_000, claim=ROSES).stance in Stance
