"""The generated items: what the report's numbers rest on."""

from __future__ import annotations

from collections import Counter
from typing import get_args

import pytest

from llama70b.errors import ConfigurationError
from llama70b.evaluation import Item, dump_items, generate, load_items
from llama70b.evaluation._formal import same_reading
from llama70b.evaluation._human import HUMAN_PERCENT, human
from llama70b.evaluation._phrasing import _EN, _FRAMES, _ZH
from llama70b.evaluation._shapes import FALLACIES, LOOK_ALIKES, shapes
from llama70b.evaluation._vocabulary import real_pairs, true_in_the_world
from llama70b.syllogism import Language, Quantifier, Reading, Statement, Term, Verdict, check, read_argument
from llama70b.syllogism._forms import UNCONDITIONAL, WITH_IMPORT

LANGUAGES: tuple[Language, ...] = get_args(Language)
NAMES = {name for forms in (UNCONDITIONAL, WITH_IMPORT) for figure in forms.values() for name in figure.values()}
# Premise pairs and the conclusions that follow from them with import (a-c or c-a), after Khemlani and Johnson-Laird.
FOLLOWS = """
AA1 Aac Iac Ica; AA2 Aca Iac Ica; AA4 Iac Ica; AI2 Iac Ica; AI4 Iac Ica; IA1 Iac Ica; IA4 Iac Ica;
AE1 Eac Eca Oac Oca; AE3 Eac Eca Oac Oca; EA2 Eac Eca Oac Oca; EA3 Eac Eca Oac Oca; AE2 Oac; AE4 Oac; EA1 Oca; EA4 Oca;
AO3 Oca; AO4 Oac; OA3 Oac; OA4 Oca; IE1 Oac; IE2 Oac; IE3 Oac; IE4 Oac; EI1 Oca; EI2 Oca; EI3 Oca; EI4 Oca
"""


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("seed", [0, 1])
def test_every_valid_form_every_look_alike_and_every_pair_come(language: Language, seed: int) -> None:
    items = generate(128, seed=seed, language=language)
    designs = [(item, item.design) for item in items if item.design]
    assert len(designs) == len({item.id for item in items}) == len({item.text for item in items}) == 128
    assert Counter(item.valid for item in items) == {True: 64, False: 64}
    assert {design.stratum for item, design in designs if item.valid} == NAMES
    assert {design.stratum for item, design in designs if not item.valid} == set(FALLACIES)
    assert {design.form for item, design in designs if not item.valid} >= set(LOOK_ALIKES)
    assert len({design.pair for _, design in designs}) == 64
    cells = Counter((item.valid, design.vocabulary, design.level) for item, design in designs)
    assert len(cells) == 18
    assert max(cells.values()) - min(cells.values()) <= 1


@pytest.mark.parametrize("import_", ["all_terms", "none"])
def test_gold_is_the_checkers(import_: str) -> None:
    for item in generate(200, seed=3, import_=import_):  # type: ignore[arg-type]
        assert item.design is not None
        verdict = check(item.design.premises, item.design.conclusion, import_=import_).verdict  # type: ignore[arg-type]
        assert verdict in (Verdict.ENTAILED, Verdict.UNDETERMINED, Verdict.CONTRADICTED)
        assert item.valid is (verdict is Verdict.ENTAILED)
        assert len({term.name for statement in item.design.statements for term in statement.terms}) == 3


def test_without_import_there_are_fifteen_forms() -> None:
    items = generate(128, import_="none")
    assert len({item.design.form for item in items if item.valid and item.design}) == 15
    assert any(item.design and item.design.stratum == "existential fallacy" for item in items if not item.valid)


def test_the_seed_decides_all() -> None:
    assert generate(40, seed=5) == generate(40, seed=5)
    assert generate(40, seed=5) != generate(40, seed=6)
    assert dump_items(generate(3, seed=0)) == dump_items(generate(3, seed=0))


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_paraphrase_is_misread(language: Language) -> None:
    """Read back as it is meant, or refused; and most of them are read."""
    read = 0
    items = [item for seed in range(2) for item in generate(192, seed=seed, language=language)]
    for item in items:
        reading = read_argument(item.text)
        if isinstance(reading, Reading) and reading.conclusion is not None:
            assert item.design is not None
            assert same_reading((*reading.premises, reading.conclusion), item.design.statements), item.text
            read += 1
    assert read / len(items) > 0.85


def test_every_wording_is_used() -> None:
    texts = {
        language: " ".join(item.text for seed in range(3) for item in generate(256, seed=seed, language=language))
        for language in LANGUAGES
    }
    assert "If something is a" in texts["en"]
    assert "Only" in texts["en"]
    assert "只有" in texts["zh"]
    for language, wordings in (("en", _EN), ("zh", _ZH)):
        assert set(wordings) == set(_FRAMES[language]) - {0}  # type: ignore[index]
        assert all(set(level) == set(Quantifier) for level in wordings.values())


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("quantifier", list(Quantifier))
def test_both_beliefs_have_words(language: Language, quantifier: Quantifier) -> None:
    for believable in (True, False):
        assert len(real_pairs(quantifier, language, believable=believable)) > 5


def test_the_world() -> None:
    def believed(quantifier: Quantifier) -> set[tuple[str, str]]:
        return {(one.name, other.name) for one, other in real_pairs(quantifier, "en", believable=True)}

    assert ("roses", "flowers") in believed(Quantifier.ALL)
    assert ("flowers", "roses") not in believed(Quantifier.ALL)
    assert ("flowers", "roses") in believed(Quantifier.SOME_NOT)
    assert ("dogs", "pets") in believed(Quantifier.SOME) & believed(Quantifier.SOME_NOT)
    assert ("whales", "boats") in believed(Quantifier.NO)
    assert true_in_the_world(Quantifier.NO, frozenset("a"), frozenset("b"))


def test_options_that_cannot_work_are_refused() -> None:
    for options in ({"number": 1}, {"levels": (3,)}, {"levels": ()}, {"vocabularies": ("boring",)}):
        with pytest.raises(ConfigurationError):
            generate(**options)  # type: ignore[arg-type]


def test_pairs_are_numbered_as_in_psychology() -> None:
    found: dict[str, set[str]] = {}
    for shape in shapes():
        if shape.valid:
            found.setdefault(shape.pair, set()).add(shape.mood[2] + ("ca" if shape.major_first else "ac"))
    assert found == {part.split()[0]: set(part.split()[1:]) for part in FOLLOWS.split(";")}


def test_shapes_are_the_256_forms_twice() -> None:
    assert len(shapes()) == 512
    assert sum(shape.valid for shape in shapes()) == 48
    assert sum(shape.valid for shape in shapes("none")) == 30
    terms = {role: Term(role) for role in "SMP"}
    for shape in shapes():
        *premises, conclusion = shape.statements(terms)
        result = check(premises, conclusion)
        assert result.form in (shape.form, shape.stratum)
        assert result.figure == shape.figure


def test_human_figures_are_the_published_ones() -> None:
    assert set(HUMAN_PERCENT) == {one + other for one in "AEIO" for other in "AEIO"}
    everything = [value for row in HUMAN_PERCENT.values() for value in row]
    assert len(everything) == 64
    assert sum(everything) / 64 == pytest.approx(42.6, abs=0.1)
    assert [human(pair) for pair in ("AE2", "EA1", "AI2", "AA1")] == [1.3, 2.6, 90.4, 88.5]


def test_items_survive_a_file() -> None:
    for language in LANGUAGES:
        items = generate(40, seed=1, language=language)
        assert load_items(dump_items(items)) == items


def test_a_users_file() -> None:
    text = (
        '\ufeff{"id": 7, "text": "All a are b.", "valid": false, "form": "x"}\n\n'
        '{"id": "q", "text": "所有", "valid": true, "plausible": true}\r\n'
    )
    assert load_items(text) == (
        Item("7", "All a are b.", valid=False),
        Item("q", "所有", valid=True, plausible=True, language="zh"),
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 2: not JSON"),
        ("[1]", "line 2: list, not an object"),
        ('{"id": 1, "text": "x"}', "line 2: valid missing"),
        ('{"id": true, "text": "x", "valid": true}', "line 2: id is True"),
        ('{"id": 1, "text": " ", "valid": true}', "line 2: text is empty"),
        ('{"id": 1, "text": "x", "valid": "yes"}', "line 2: valid is 'yes'"),
        ('{"id": 1, "text": "x", "valid": true, "plausible": 0}', "line 2: plausible is 0"),
        ('{"id": 1, "text": "x", "valid": true, "language": "fr"}', "line 2: language is 'fr'"),
        ('{"id": 1, "text": "x", "valid": true, "design": {"mood": "AAA"}}', "line 2: design cannot be read"),
        ('{"id": "a", "text": "x", "valid": true}', "line 2: the id 'a' is already on line 1"),
    ],
)
def test_errors_name_the_line(line: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^mine\.jsonl, line 2: ") as caught:
        load_items('{"id": "a", "text": "x", "valid": true}\n' + line, source="mine.jsonl")
    assert said in caught.value.message


def test_an_empty_file_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="holds no item"):
        load_items("\n\n")


def _statement(letter: str, subject: str, predicate: str, *, negated: bool = False) -> Statement:
    quantifier = next(one for one in Quantifier if one.letter == letter)
    return Statement(quantifier, Term(subject), Term(predicate, negated=negated))


def test_same_reading() -> None:
    meant = [_statement("E", "rarities", "whales"), _statement("A", "cows", "rarities")]
    assert same_reading([_statement("E", "whales", "rarity"), _statement("A", "cow", "rarity")], meant)
    assert same_reading([_statement("A", "rarity", "whale", negated=True), _statement("A", "cow", "rarity")], meant)
    assert not same_reading(meant[:1], meant)
    assert not same_reading([meant[0], _statement("A", "rarities", "cows")], meant)  # A is not symmetric
    assert not same_reading([meant[0], _statement("I", "cows", "rarities")], meant)
    assert not same_reading([_statement("E", "curiosities", "whales"), meant[1]], meant)
    # One word for what are two classes, and two words for one class.
    two = [_statement("A", "dogs", "dogmas")]
    assert not same_reading([_statement("A", "dog", "dog")], two)
