"""The reader: what it must read, what it must refuse, and that it never reads one thing as another."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from llama70b.syllogism import (
    Quantifier,
    Reading,
    Reason,
    Refusal,
    SentenceReading,
    Statement,
    Term,
    TermKind,
    read_argument,
    read_sentences,
    read_statement,
    spans,
    verbalise,
)

if TYPE_CHECKING:
    from collections.abc import Callable

Rows = "Callable[[str], list[dict[str, str]]]"
QUESTION = (
    "If all roses are flowers and some flowers fade quickly, can we conclude that some roses fade quickly? "
    "Explain your reasoning."
)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_natural_statements_are_read_as_listed(language: str, rows: Callable[[str], list[dict[str, str]]]) -> None:
    listed = rows(f"statements_{language}.tsv")
    wrong = []
    for row in listed:
        found = read_statement(row["sentence"])
        if isinstance(found, Refusal):
            wrong.append((row["sentence"], found.message))
        elif (found.words, str(found.alternative or "")) != (row["reading"], row["alternative"]):
            wrong.append((row["sentence"], found.words))
    assert wrong == []
    assert len(listed) >= {"en": 450, "zh": 70}[language]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_what_is_outside_the_fragment_is_refused_with_its_reason(
    language: str, rows: Callable[[str], list[dict[str, str]]]
) -> None:
    listed = rows(f"refused_statements_{language}.tsv")
    wrong = []
    for row in listed:
        found = read_statement(row["sentence"])
        if not isinstance(found, Refusal):
            wrong.append((row["sentence"], found.words))
        elif found.reason.value != row["reason"]:
            wrong.append((row["sentence"], found.reason.value))
        else:
            assert 0 <= found.start <= found.end <= len(row["sentence"])
            assert found.spans[0].text == row["sentence"][found.start : found.end]
    assert wrong == []
    assert len(listed) >= {"en": 390, "zh": 55}[language]


def test_nothing_of_the_adversarial_list_is_ever_read(rows: Callable[[str], list[dict[str, str]]]) -> None:
    listed = [row["sentence"] for row in rows("never_read_en.tsv")]
    read = [(sentence, found) for sentence in listed if not isinstance(found := read_statement(sentence), Refusal)]
    assert read == []
    assert len(listed) >= 450


@pytest.mark.parametrize(
    ("sentence", "reason"),
    [
        ("Little water is clean.", Reason.QUANTITY),
        ("Cats are extinct.", Reason.COLLECTIVE),
        ("Cats are not widespread.", Reason.COLLECTIVE),
        ("Cats are a species.", Reason.COLLECTIVE),
        ("Rabbits multiply.", Reason.COLLECTIVE),
        ("Dogs are barking.", Reason.AMBIGUOUS),
        ("Firemen are available.", Reason.AMBIGUOUS),
        ("All birds have flown.", Reason.TENSE),
        ("No cats are no dogs.", Reason.AMBIGUOUS),
        ("All roses bar the red ones smell.", Reason.EXCEPTION),
        ("These cats are lazy.", Reason.PRONOUN),
    ],
)
def test_what_does_not_distribute_over_the_members_is_refused(sentence: str, reason: Reason) -> None:
    found = read_statement(sentence)
    assert isinstance(found, Refusal)
    assert found.reason is reason


@pytest.mark.parametrize("sentence", ["Little dogs bark.", "All rare things are costly.", "Rex is in the garden."])
def test_their_distributive_neighbours_are_read(sentence: str) -> None:
    assert isinstance(read_statement(sentence), SentenceReading)


@pytest.mark.parametrize("name", ["statements_en.tsv", "statements_zh.tsv"])
def test_canonical_words_are_a_fixed_point_of_everything_that_is_read(
    name: str, rows: Callable[[str], list[dict[str, str]]]
) -> None:
    for row in rows(name):
        again = read_statement(row["reading"])
        assert isinstance(again, SentenceReading), row["reading"]
        assert again.words == row["reading"]
        first = read_statement(row["sentence"])
        assert isinstance(first, SentenceReading)
        assert again.statement == first.statement


NOUNS = ["roses", "red roses", "people", "children", "wolves", "kings of France", "dogs that bark",
         "toys made in China", "people who smoke", "high-school students", "fish", "analyses"]  # fmt: skip
ADJECTIVES = ["red", "mortal", "in the garden", "made of wood", "well-known", "French", "divisible", "from Spain"]
VERBS = ["fade quickly", "bark", "have wings", "can fly", "live in water", "study", "wash dishes"]
MASSES = ["water", "gold", "happiness", "cold milk"]
PEOPLE = ["Socrates", "Mary", "New York", "Mr Smith"]


def terms(kind: TermKind, names: list[str]) -> st.SearchStrategy[Term]:
    singular = kind is TermKind.NAME
    return st.sampled_from(names).map(lambda name: Term(name, singular=singular, kind=kind))


CLASSES = st.one_of(
    terms(TermKind.NOUN, NOUNS),
    terms(TermKind.ADJECTIVE, ADJECTIVES),
    terms(TermKind.VERB, VERBS),
    terms(TermKind.MASS, MASSES),
)
SIGNED = st.builds(lambda term, negate: term.complement if negate else term, CLASSES, st.booleans())
STATEMENTS = st.one_of(
    st.builds(Statement, st.sampled_from(Quantifier), SIGNED, SIGNED),
    st.builds(Statement, st.sampled_from([Quantifier.ALL, Quantifier.NO]), terms(TermKind.NAME, PEOPLE), SIGNED),
)


@settings(max_examples=400, deadline=None)
@given(STATEMENTS)
def test_every_canonical_sentence_reads_back_as_itself(statement: Statement) -> None:
    assume(statement.subject.name != statement.predicate.name)
    words = verbalise(statement)
    found = read_statement(words)
    assert isinstance(found, SentenceReading), (words, found.message)
    assert found.alternative is None
    assert verbalise(found.statement) == words
    assert found.statement == statement
    assert found.assumptions == ()


ZH_CLASSES = st.one_of(
    terms(TermKind.NOUN, ["玫瑰", "花", "哺乳动物", "红玫瑰", "学生"]),
    terms(TermKind.ADJECTIVE, ["红色", "美丽", "聪明"]),
    terms(TermKind.VERB, ["会飞", "很快凋谢", "喜欢音乐", "有翅膀"]),
)
ZH_SIGNED = st.builds(lambda term, negate: term.complement if negate else term, ZH_CLASSES, st.booleans())


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(
        st.builds(Statement, st.sampled_from(Quantifier), ZH_SIGNED, ZH_SIGNED),
        st.builds(
            Statement,
            st.sampled_from([Quantifier.ALL, Quantifier.NO]),
            terms(TermKind.NAME, ["苏格拉底", "小明"]),
            ZH_SIGNED,
        ),
    )
)
def test_every_canonical_chinese_sentence_reads_back_as_itself(statement: Statement) -> None:
    assume(statement.subject.name != statement.predicate.name)
    words = verbalise(statement)
    found = read_statement(words)
    assert isinstance(found, SentenceReading), (words, found.message)
    assert verbalise(found.statement) == words
    assert found.statement == statement


LOGICAL = (
    "most many few several both either neither unless except only if or and not never usually maybe might must should "
    "three none all some every no than each they other without almost exactly"
).split()


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["All", "No", "Some", "Every", "Not all"]),
    st.lists(st.sampled_from([*LOGICAL, "roses", "red", "dogs", "fade", "that", "are", "is", "of", ","]), max_size=7),
)
def test_no_term_ever_holds_a_logical_word(start: str, rest: list[str]) -> None:
    found = read_statement(" ".join((start, *rest)))
    if isinstance(found, SentenceReading):
        for term in (*found.statement.terms, *(found.alternative.terms if found.alternative else ())):
            assert not set(term.name.lower().split()) & set(LOGICAL), found.words


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.lists(
            st.sampled_from([*"all some no not are is that dogs Rex so if because , . ? : ; ' \" - 1.".split(), "\n"])
        ).map(" ".join),
        st.text(alphabet="所有没些的花猫是不都会飞只才如果因此，。？：1 ", max_size=30),
        st.text(max_size=60),
    )
)
def test_any_text_is_read_or_refused_never_a_crash(text: str) -> None:
    found = read_argument(text)
    if isinstance(found, Refusal):
        assert found.spans
        for span in found.spans:
            assert text[span.start : span.end] == span.text
    for part in spans(text):
        assert part in text


def test_the_roses_question() -> None:
    found = read_argument(QUESTION)
    assert isinstance(found, Reading)
    assert found.words == (
        "All roses are flowers.",
        "Some flowers are things that fade quickly.",
        "Some roses are things that fade quickly.",
    )
    assert [QUESTION[s.start : s.end] for s in found.sentences] == [s.source for s in found.sentences]
    assert spans(QUESTION) == ("all roses are flowers", "some flowers fade quickly", "some roses fade quickly")


def test_refusals_point_at_the_sentence_at_fault() -> None:
    text = "All dogs bark. Most cats meow. Therefore, some cats bark."
    found = read_argument(text)
    assert isinstance(found, Refusal)
    assert [text[span.start : span.end] for span in found.spans] == ["Most cats meow"]
    assert found.reason is Reason.QUANTITY
    assert found.spans[0].role is None
    assert [sentence.words for sentence in found.sentences] == [
        "All dogs are things that bark.",
        "Some cats are things that bark.",
    ]


def test_sentences_that_are_already_apart_and_readings_made_elsewhere() -> None:
    hard = Statement(Quantifier.ALL, Term("cats"), Term("felines"), source="Cats form the felines' heart.")
    found = read_sentences([hard, "No felines are canines"], "No cat is a canine")
    assert isinstance(found, Reading)
    assert found.words == ("All cats are felines.", "No felines are canines.", "No cats are canines.")
    open_question = read_sentences(["All cats are felines."], None)
    assert isinstance(open_question, Reading)
    assert open_question.conclusion is None


def assumptions_of(text: str) -> str:
    found = read_argument(text)
    assert isinstance(found, Reading), found.message
    return " / ".join(found.assumptions)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Dogs bark. Rex is a dog. So Rex barks.", "“Dogs” without a quantifier is taken as all of them"),
        ("A whale is a mammal. No mammal is a fish. So no whale is a fish.", "“A whale” is taken as any of the kind"),
        ("All lazy people fail. Bob is lazy. So Bob fails.", "“lazy people” and “lazy” are taken as the same class"),
        ("A few dogs bark. All dogs are pets. So some pets bark.", "“A few” is taken as at least one"),
        ("All cats are pets. No pets are wild. No cats are wild.", "the last sentence is taken as it"),
        ("No members vote. All nonmembers pay. So no members pay.", "“nonmembers” is taken as the opposite of"),
        ("No cat can be a dog. Rex is a dog. So Rex is not a cat.", "“can be” is taken as “are”"),
        ("All cats are pets. Tom is a cat. So Tom is a pet.", ""),
    ],
)
def test_what_is_taken_for_granted_is_said(text: str, said: str) -> None:
    said_here = assumptions_of(text).lower()
    assert said.lower() in said_here
    if not said:
        assert said_here == ""


@pytest.mark.parametrize(
    "text",
    [
        "All flies are insects. All birds fly. So all birds are insects.",
        "All fishermen fish. All fish swim. So all fishermen swim.",
        "All students who are athletes are tall. Bob is an athlete. So Bob is tall.",
    ],
)
def test_different_classes_are_not_taken_for_one(text: str) -> None:
    from llama70b.syllogism import check_argument

    assert check_argument(text).verdict == "refused"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("roses", "rose"), ("wolves", "wolf"), ("mice", "mouse"), ("people", "person"), ("buses", "bus"),
        ("wumpuses", "wumpus"), ("daxes", "dax"), ("heroes", "hero"), ("flies", "fly"), ("knives", "knife"),
        ("kings of France", "king of France"), ("red roses", "red rose"), ("quizzes", "quiz"), ("analyses", "analysis"),
    ],
)  # fmt: skip
def test_number_does_not_make_another_class(one: str, other: str) -> None:
    article = "an" if other[0] in "aeiou" else "a"
    found = read_sentences([f"All {one} are things", f"Rex is {article} {other}"], None)
    if isinstance(found, Refusal):
        found = read_sentences([f"All {one} are blue", f"Rex is {article} {other}"], None)
    assert isinstance(found, Reading)
    assert found.premises[0].subject.name == found.premises[1].predicate.name


def test_conditionals_are_arguments_only_as_a_whole() -> None:
    whole = read_argument("If all cats are mammals and all mammals are animals, then all cats are animals.")
    assert isinstance(whole, Reading)
    assert len(whole.premises) == 2
    inside = read_argument("If all cats are dogs, then all cats bark. All cats are dogs. So all cats bark.")
    assert isinstance(inside, Refusal)
    assert inside.reason is Reason.CONDITIONAL


def test_readings_and_refusals_are_json(items: Callable[[str], list[dict[str, Any]]]) -> None:
    import json

    for item in (*items("arguments.json")[:20], *items("refused_arguments.json")[:20]):
        json.dumps(read_argument(item["text"]).to_dict())


def test_the_lists_hold_no_doubles(rows: Callable[[str], list[dict[str, str]]]) -> None:
    for name in ("statements_en.tsv", "statements_zh.tsv", "refused_statements_en.tsv", "refused_statements_zh.tsv"):
        sentences = [re.sub(r"\W", "", row["sentence"]).lower() for row in rows(name)]
        assert len(set(sentences)) >= len(sentences) - 12
