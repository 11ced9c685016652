"""Words for the generated arguments. Pure data, and the question what is true in the world.

Whether a conclusion is believable is not an opinion: the real words stand for sets of kinds in a small model of the
world, and a statement is believable exactly when it is true there. The middle terms are classes that have no known
relation to the others ("exhibits"), so that the premises are neither plainly true nor plainly false.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from llama70b.syllogism import Language, Quantifier, TermKind

Vocabulary = Literal["believable", "unbelievable", "nonsense"]
VOCABULARIES: tuple[Vocabulary, ...] = ("believable", "unbelievable", "nonsense")


@dataclass(frozen=True, slots=True)
class Word:
    """A class in words.

    Attributes:
        name: As a term: the plural, a verb phrase's base form, or the Chinese noun.
        one: The singular, or the verb phrase's third person; in Chinese the same as `name`.
        kind: Noun or verb phrase.
    """

    name: str
    one: str
    kind: TermKind = TermKind.NOUN


def _sets(table: str) -> Mapping[str, frozenset[str]]:
    rows = (line.split("=") for line in table.strip().splitlines())
    return {name.strip(): frozenset(kinds.split()) for name, kinds in rows}


# name/singular = the kinds it holds; "d1 d2" are two kinds of dog, so that "some dogs are pets" and the like come out.
_EN = _sets("""
roses/rose = r1 r2
tulips/tulip = tu
flowers/flower = r1 r2 tu li
plants/plant = r1 r2 tu li oa pi mo
trees/tree = oa pi
oaks/oak = oa
mosses/moss = mo
dogs/dog = d1 d2
cats/cat = c1 c2
pets/pet = d1 c1 pa go
cows/cow = co
whales/whale = wh
bats/bat = ba
mammals/mammal = d1 d2 c1 c2 co wh ba se go
sparrows/sparrow = sp
penguins/penguin = pe
parrots/parrot = pa
birds/bird = sp pe pa ow
owls/owl = ow
seals/seal = se
hamsters/hamster = go
sharks/shark = sh
snakes/snake = sn
reptiles/reptile = sn li2
lizards/lizard = li2
ants/ant = an
bees/bee = be
insects/insect = an be
animals/animal = d1 d2 c1 c2 co wh ba sp pe pa ow se go sh sn li2 an be
carrots/carrot = ca
vegetables/vegetable = ca po
potatoes/potato = po
apples/apple = ap
fruits/fruit = ap le
lemons/lemon = le
guitars/guitar = gu
violins/violin = vi
flutes/flute = fl
instruments/instrument = gu vi fl dr
drums/drum = dr
cars/car = cr
bicycles/bicycle = bi
boats/boat = bo
vehicles/vehicle = cr bi bo
""")

_ZH = _sets("""
玫瑰 = r1 r2
郁金香 = tu
花 = r1 r2 tu li
植物 = r1 r2 tu li oa pi
橡树 = oa
狗 = d1 d2
猫 = c1 c2
宠物 = d1 c1 pa go
鲸鱼 = wh
哺乳动物 = d1 d2 c1 c2 wh go
麻雀 = sp
企鹅 = pe
鸟 = sp pe pa
鹦鹉 = pa
仓鼠 = go
鲨鱼 = sh
蚂蚁 = an
昆虫 = an be
蜜蜂 = be
动物 = d1 d2 c1 c2 wh sp pe pa go sh an be
苹果 = ap
水果 = ap le
柠檬 = le
吉他 = gu
小提琴 = vi
乐器 = gu vi
汽车 = cr
自行车 = bi
交通工具 = cr bi
""")

_EN_MIDDLES = (
    "exhibits/exhibit gifts/gift imports/import favorites/favorite curiosities/curiosity finalists/finalist "
    "newcomers/newcomer rarities/rarity treasures/treasure souvenirs/souvenir donations/donation bargains/bargain"
).split()
_EN_VERBS = (
    "sell well/sells well",
    "attract visitors/attracts visitors",
    "need daily care/needs daily care",
    "inspire poets/inspires poets",
    "arrive on Mondays/arrives on Mondays",
    "win prizes/wins prizes",
    "cost a fortune/costs a fortune",
    "please children/pleases children",
)
_EN_NONSENSE = (
    "wugs/wug blickets/blicket daxes/dax toves/tove zorps/zorp mipples/mipple florps/florp grebbles/grebble "
    "snargs/snarg vorkins/vorkin plimbos/plimbo tarvies/tarvy jellops/jellop quaffins/quaffin hinkles/hinkle "
    "brastics/brastic moxins/moxin fendles/fendle shreeps/shreep crodels/crodel"
).split()
_ZH_MIDDLES = "展品 礼物 收藏品 纪念品 新成员 获奖者 进口货 珍品".split()
_ZH_NONSENSE = "乌格 布力克 达克斯 托夫 佐普 米泼 弗洛 格莱 斯纳 沃金 普林波 塔维 杰洛 奎芬 辛柯".split()


def _nouns(pairs: list[str] | tuple[str, ...], kind: TermKind = TermKind.NOUN) -> tuple[Word, ...]:
    return tuple(Word(*_split(pair), kind) for pair in pairs)


def _split(pair: str) -> tuple[str, str]:
    name, slash, one = pair.partition("/")
    return name, one if slash else name


_WORLDS = {"en": _EN, "zh": _ZH}
_MIDDLES = {"en": _nouns(_EN_MIDDLES), "zh": _nouns(_ZH_MIDDLES)}
_NONSENSE = {"en": _nouns(_EN_NONSENSE), "zh": _nouns(_ZH_NONSENSE)}
_VERBS = {"en": _nouns(_EN_VERBS, TermKind.VERB), "zh": ()}


def middles(language: Language, *, verbs: bool) -> tuple[Word, ...]:
    """Return the neutral middle terms; verb phrases where wanted and the language has some here."""
    return (_VERBS[language] if verbs else ()) or _MIDDLES[language]


def nonsense(language: Language) -> tuple[Word, ...]:
    """Return invented nouns."""
    return _NONSENSE[language]


def true_in_the_world(quantifier: Quantifier, subject: frozenset[str], predicate: frozenset[str]) -> bool:
    """Whether a statement about two classes holds in the world of this module."""
    match quantifier:
        case Quantifier.ALL:
            return subject <= predicate
        case Quantifier.NO:
            return not subject & predicate
        case Quantifier.SOME:
            return bool(subject & predicate)
        case Quantifier.SOME_NOT:
            return not subject <= predicate


def real_pairs(quantifier: Quantifier, language: Language, *, believable: bool) -> list[tuple[Word, Word]]:
    """Return subject and predicate of every statement of a form that is true (or false) in the world.

    Args:
        quantifier: The form.
        language: Of the words.
        believable: Which of the two.
    """
    world = _WORLDS[language]
    return [
        (Word(*_split(subject)), Word(*_split(predicate)))
        for subject, these in world.items()
        for predicate, those in world.items()
        if subject != predicate and true_in_the_world(quantifier, these, those) is believable
    ]
