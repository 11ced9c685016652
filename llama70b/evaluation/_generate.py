"""Generate arguments of every form, with the right answer from the checker. Pure; the same seed gives the same items.

Half are valid, and among them every valid form comes as often as the number allows. The invalid half goes round the
classical fallacies: the look-alikes with an undistributed middle first, then whatever pairs of premises are not used
yet, then every fallacy equally often. 128 items cover all 64 pairs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from random import Random

from llama70b.errors import ConfigurationError
from llama70b.evaluation._items import Design, Item
from llama70b.evaluation._phrasing import LEVELS, argue, phrase, term_of
from llama70b.evaluation._shapes import LOOK_ALIKE, LOOK_ALIKES, QUANTIFIERS, Shape, shapes
from llama70b.evaluation._vocabulary import (
    VOCABULARIES,
    Vocabulary,
    Word,
    middles,
    nonsense,
    real_pairs,
)
from llama70b.syllogism import Import, Language, Verdict, check

_VERB_LEVEL, _VERB_SHARE = 2, 0.5
"""From which level on, and how often there, the middle term is a verb phrase."""


_Run = tuple[Language, Import, Random]


def generate(
    number: int = 128,
    *,
    seed: int = 0,
    language: Language = "en",
    levels: Sequence[int] = LEVELS,
    vocabularies: Sequence[Vocabulary] = VOCABULARIES,
    import_: Import = "all_terms",
) -> tuple[Item, ...]:
    """Generate arguments.

    Args:
        number: How many, 2 or more; an odd one goes to the invalid half.
        seed: The same seed and options give the same items.
        language: English or Chinese.
        levels: Steps of paraphrase to use, of 0, 1 and 2.
        vocabularies: Kinds of conclusion to use.
        import_: Convention of existential import for the right answers.

    Raises:
        ConfigurationError: An option cannot work.
    """
    if number < 2:  # noqa: PLR2004 - one valid, one invalid
        raise ConfigurationError(f"{number} items: give 2 or more")
    for given, known, name in ((levels, LEVELS, "level"), (vocabularies, VOCABULARIES, "vocabulary")):
        if not given or set(given) - set(known):
            raise ConfigurationError(f"unknown {name} in {list(given)}", hint=f"choose among {list(known)}")
    random = Random(f"{seed} {language}")  # noqa: S311 - not for secrets
    chosen = _chosen(number, import_, random)
    styles = {valid: _styles(vocabularies, levels, random) for valid in (True, False)}
    # Valid and invalid ones mixed, so that a run cut short is still balanced.
    random.shuffle(chosen)
    return tuple(
        _item(f"s{seed}-{language}-{position:04d}", shape, next(styles[shape.valid]), (language, import_, random))
        for position, shape in enumerate(chosen, start=1)
    )


def _chosen(number: int, import_: Import, random: Random) -> list[Shape]:
    pool = list(shapes(import_))
    random.shuffle(pool)
    pairs: Counter[str] = Counter()
    forms: Counter[str] = Counter()
    strata: Counter[str] = Counter()
    chosen: list[Shape] = []

    def take(members: Iterable[Shape], order: Callable[[Shape], tuple[object, ...]]) -> None:
        best = min(members, key=order)  # of equals the first, and the pool is shuffled
        pairs[best.pair] += 1
        forms[best.form] += 1
        strata[best.stratum] += 1
        chosen.append(best)

    valid = [shape for shape in pool if shape.valid]
    invalid = [shape for shape in pool if not shape.valid]
    alike = [shape for shape in invalid if shape.stratum == LOOK_ALIKE]
    for _ in range(number // 2):
        take(valid, lambda shape: (forms[shape.form], pairs[shape.pair]))
    for position in range(number - number // 2):
        if position < len(LOOK_ALIKES):
            take(alike, lambda shape: (forms[shape.form], pairs[shape.pair]))
        else:
            take(invalid, lambda s: (pairs[s.pair] > 0, strata[s.stratum], pairs[s.pair], forms[s.form]))
    return chosen


def _styles(
    vocabularies: Sequence[Vocabulary], levels: Sequence[int], random: Random
) -> Iterator[tuple[Vocabulary, int]]:
    """Yield every combination once in random order, again and again."""
    combinations = list(product(vocabularies, levels))
    while True:
        random.shuffle(combinations)
        yield from combinations


def _words(shape: Shape, vocabulary: Vocabulary, level: int, language: Language, random: Random) -> dict[str, Word]:
    if vocabulary == "nonsense":
        return dict(zip("SMP", random.sample(nonsense(language), 3), strict=True))
    believable = vocabulary == "believable"
    subject, predicate = random.choice(real_pairs(QUANTIFIERS[shape.mood[2]], language, believable=believable))
    middle = random.choice(middles(language, verbs=level >= _VERB_LEVEL and random.random() < _VERB_SHARE))
    return {"S": subject, "M": middle, "P": predicate}


def _item(identity: str, shape: Shape, style: tuple[Vocabulary, int], run: _Run) -> Item:
    (vocabulary, level), (language, import_, random) = style, run
    words = _words(shape, vocabulary, level, language, random)
    statements = shape.statements({role: term_of(word) for role, word in words.items()})
    verdict = check(statements[:2], statements[2], import_=import_).verdict
    design = Design(
        premises=statements[:2],
        conclusion=statements[2],
        mood=shape.mood,
        figure=shape.figure,
        pair=shape.pair,
        stratum=shape.stratum,
        vocabulary=vocabulary,
        level=level,
        needs_import=shape.needs_import,
    )
    by_name = {word.name: word for word in words.values()}
    sentences = [phrase(statement, by_name, level, random) for statement in statements]
    plausible = None if vocabulary == "nonsense" else vocabulary == "believable"
    text = argue(sentences, language, level, random)
    return Item(identity, text, verdict is Verdict.ENTAILED, plausible, language, design)
