"""The closed vocabulary of English logic: words that must not be left inside a term, and why. Data only."""

from __future__ import annotations

from llama70b.syllogism._kinds import Reason


def _table(rows: dict[Reason, str]) -> dict[str, Reason]:
    return {word: reason for reason, words in rows.items() for word in words.split()}


FORBIDDEN = _table(
    {
        Reason.QUANTITY: """most many few fewer fewest majority minority half halves third thirds quarter quarters
            percent percentage lots lot plenty much enough numerous countless innumerable umpteen dozen dozens hundreds
            thousands millions scores several multiple various couple pair pairs handful bunch almost nearly
            approximately roughly virtually practically mostly mainly largely partly partially predominantly primarily
            overwhelmingly least proportion fraction fractions ratio tons loads scarcely barely hardly""",
        Reason.NUMBER: """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
            sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand
            million billion trillion once twice thrice sole lone first second last next previous exactly precisely""",
        Reason.CONDITIONAL: """if unless whenever when provided providing assuming otherwise iff whether until till
            wherever lest supposing depending because since so hence thus therefore while""",
        Reason.EXCEPTION: """except excepting excluding exclude excludes besides barring minus save apart aside
            exception exceptions other others else another remaining""",
        Reason.EXCLUSIVE: "only solely exclusively merely just alone especially particularly",
        Reason.BOOLEAN: "and or nor neither either both but yet although though however plus xor versus vs whereas",
        Reason.NEGATION: """not never no-one without cannot nowhere nonexistent absent instead rather
            lack lacks lacking""",
        Reason.MODALITY: """may might must should could would shall ought possible possibly impossible necessary
            necessarily likely unlikely probable probably perhaps maybe potentially potential supposedly allegedly
            apparently presumably arguably conceivably permitted obligatory obliged forbidden
            allowed required mandatory optional hopefully""",
        Reason.FREQUENCY: """usually often sometimes generally typically normally frequently rarely seldom occasionally
            commonly regularly ordinarily customarily habitually always ever traditionally periodically repeatedly
            constantly""",
        Reason.TENSE: """was were been had did will formerly previously anymore yesterday tomorrow today tonight
            currently nowadays presently now became""",
        Reason.RELATION: """than more less same identical equal equals equivalent different similar between
            respectively each-other taller older younger bigger smaller larger shorter
            better worse faster slower stronger weaker higher lower greater heavier richer poorer smarter hotter colder
            longer wiser best worst tallest biggest largest smallest fastest strongest oldest youngest highest greatest
            longest shortest richest alike unlike equally""",
        Reason.PRONOUN: """it they them he she him her hers his its their theirs this these those such himself herself
            itself themselves oneself i me we us you whom whose what latter former aforementioned mine ours yours
            myself yourself ourselves there ones""",
        Reason.QUANTIFIER_IN_TERM: """all every each any some no none nothing something anything everything nobody
            somebody anybody everybody everyone someone anyone noone whoever whatever whichever certain""",
        Reason.ATTITUDE: "so-called would-be alleged supposed purported putative wrongly falsely mistakenly "
        "incorrectly erroneously",
        Reason.EXISTENCE: "exist exists existing existent",
    }
)
"""A word that has a logical role -> why a term that still holds it is refused."""

ATTITUDES = frozenset(
    """believe believes believed think thinks thought say says said claim claims claimed suppose supposes supposed doubt
    doubts hope hopes hoped wish wishes suspect suspects suspected imagine imagines guess guesses assert asserts deny
    denies insist insists seem seems appear appears pretend pretends know knows alleged considered reported rumored
    rumoured expect expects expected argue argues argued want wants need needs
    have has used going about tend tends""".split()
)
"""Words after which "that" or "to" opens somebody's opinion, an appearance, a duty or a plan, not a plain claim."""

RELATIONAL_VERBS = frozenset(
    """love like hate admire know meet see respect fear trust follow help marry adore envy despise kiss hug hit defeat
    beat blame praise call visit understand dislike hear watch thank""".split()
)
"""Verbs between two individuals: with one other individual as object ("admires a teacher") scope matters."""

APPEARANCES = frozenset({"seem", "appear"})
COMPARING_VERBS = frozenset(
    {
        "differ",
        "resemble",
        "outnumber",
        "exceed",
        "outlive",
        "outweigh",
        "outperform",
        "equal",
        "precede",
        "outrank",
        "surpass",
        "include",
        "comprise",
        "encompass",
    }
)
KIND_LEVEL = frozenset(
    """extinct endangered widespread rare common uncommon scarce ubiquitous diverse abundant plentiful legion everywhere
    numerous prevalent omnipresent commonplace innumerable unevenly evenly distributed concentrated found varied
    threatened
    universal dominant outnumbered vanishing thriving worldwide sparse dispersed manifold overrepresented
    underrepresented overpopulated various""".split()
)
"""Adjectives that, of a bare plural, say something of the kind and not of each member: "pandas are rare"."""

STAGE_LEVEL = frozenset(
    "available present missing absent nearby here away outside inside upstairs downstairs around ahead".split()
)
"""Adjectives that, of a bare plural, are true when some are: "firemen are available"."""

PLACES = frozenset("in on at under near inside outside behind beside above below among around within".split())
"""Prepositions that place a bare plural somewhere: "dogs are in the garden" says that some are."""

GROUP_NOUNS = frozenset(
    """species family genus group breed kind type class set category minority majority rarity race order phylum clade
    population pack herd flock team crowd community tribe nation lineage collection subspecies bunch swarm
    gang""".split()
)
"""Nouns that, after "are a", speak of all members together: "cats are a species"."""

GROUP_VERBS = frozenset(
    """gather assemble surround disperse scatter congregate multiply proliferate abound dwindle vary evolve diversify
    form originate predominate swarm unite cluster coexist range descend""".split()
)
"""Verbs that, of a bare or definite plural, speak of all together or of the kind: "rabbits multiply"."""

LASTING_ING = frozenset(
    """interesting boring amusing charming exciting living loving caring daring outstanding amazing appealing annoying
    challenging comforting confusing convincing cunning damaging demanding depressing disappointing disgusting
    embarrassing encouraging entertaining everlasting fascinating forgiving frightening frustrating
    inspiring intriguing lasting misleading nourishing non-living outgoing pleasing promising
    refreshing rewarding satisfying shocking striking stunning surprising terrifying thrilling tiring touching
    trusting understanding unforgiving welcoming willing worrying hard-working hardworking warming flowering
    fast-growing slow-moving fast-moving law-abiding flying crawling breathing thinking""".split()
)
"""Forms in -ing that describe for good; others say what goes on now: "dogs are barking"."""

PERFECTS = frozenset(
    "flown gone become taken eaten seen done begun forgotten lost won come fallen risen slept died lived".split()
)
"""Participles that, after "have", make a past tense whatever follows."""

MEASURES = frozenset({"number", "numbers", "amount", "amounts", "quantity", "quantities", "portion", "deal", "share"})
"""Nouns that, before "of", make an amount."""

DATING = frozenset("in before after since from until by during".split())
"""Prepositions before a year."""

BOUNDING = frozenset("over under above below than of at".split())
"""Prepositions before a measure."""

ORDINALS = frozenset("first second third fourth fifth sixth seventh eighth ninth tenth last ground top".split())
"""Words that number a floor, a row, a grade."""

IDIOMS = frozenset(
    tuple(phrase.split())
    for phrase in (
        "black and white|rock and roll|bed and breakfast|arts and crafts|trial and error|safe and sound|"
        "fish and chips|law and order|science and technology|research and development"
    ).split("|")
)
"""Phrases of one meaning that hold an "and"."""

UNITS = frozenset(
    """metres meters metre meter feet foot inches inch miles mile kilometres kilometers km cm mm kg kilograms kilos
    grams pounds tons tonnes degrees years months weeks days hours minutes seconds dollars euros litres liters watts
    volts""".split()
)

NUMBERED = frozenset(
    """group grade level page chapter version route highway flight room class section zone line platform building
    apartment floor row century shelf lane aisle street avenue unit stage phase formula""".split()
)
"""Nouns that a number names: "group 18"."""

HEDGES = tuple(
    tuple(phrase.split())
    for phrase in "in general|in practice|in theory|in principle|on average|on the whole|as a rule|at times|in part|"
    "at best|at worst|at first|under normal circumstances|to some extent|so far|more or less|from time to time|"
    "in a sense|on occasion|now and then|by default|at present|these days|for now|in the past|in the future".split("|")
)
"""Phrases that weaken or date a claim."""

SPOILERS = {
    ("along", "with"): Reason.BOOLEAN,
    ("together", "with"): Reason.BOOLEAN,
    ("coupled", "with"): Reason.BOOLEAN,
    ("sort", "of"): Reason.FREQUENCY,
    ("kind", "of"): Reason.FREQUENCY,
    ("treated", "as"): Reason.ATTITUDE,
    ("thought", "of"): Reason.ATTITUDE,
    ("mistaken", "for"): Reason.ATTITUDE,
    ("unique", "among"): Reason.RELATION,
    ("as", "a", "group"): Reason.COLLECTIVE,
    ("as", "a", "whole"): Reason.COLLECTIVE,
    ("as", "a", "class"): Reason.COLLECTIVE,
    ("as", "a", "species"): Reason.COLLECTIVE,
}
"""Phrases whose words are harmless one by one."""

PREPOSITIONS = frozenset(
    """of in on at by for from to with into onto over under above below near inside outside behind beside through
    across along against among around during before after about within toward towards upon beneath beyond amongst
    like via per up down off out""".split()
)

RELATIVES = frozenset({"that", "which", "who"})

FINITE_AUXILIARIES = frozenset({"is", "are", "am", "be", "do", "does", "has", "can"})
"""Words that only a finite verb group has: outside a relative clause a term cannot hold them ("have" may be a verb)."""
