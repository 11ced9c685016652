"""The past tense put into the present: "every knight had a sword" says of then what "has" says of now.

A sentence so read is marked. The reader accepts it only in an argument that stays in one tense, where no verdict can
depend on it; a lone statement about the past is refused.
"""

from __future__ import annotations

from llama70b.syllogism._lexicon import PARTICIPLES, VERBS
from llama70b.syllogism._logic_words import PREPOSITIONS, RELATIVES
from llama70b.syllogism._morphology import base_form, head_index, looks_plural, third_person
from llama70b.syllogism._words_en import Words, low

IRREGULAR_PASTS = dict(
    pair.split(":")
    for pair in """
    ate:eat became:become began:begin bit:bite blew:blow bore:bear bought:buy bred:breed broke:break brought:bring
    built:build burnt:burn came:come caught:catch chose:choose clung:cling crept:creep dealt:deal drank:drink
    dreamt:dream drew:draw drove:drive dug:dig fed:feed fell:fall felt:feel fled:flee flew:fly flung:fling
    forbade:forbid forgave:forgive forgot:forget fought:fight found:find froze:freeze gave:give got:get grew:grow
    heard:hear held:hold hid:hide hung:hang kept:keep knelt:kneel knew:know laid:lay leapt:leap learnt:learn left:leave
    lent:lend lost:lose made:make meant:mean met:meet paid:pay ran:run rang:ring rode:ride rose:rise said:say sang:sing
    sank:sink sat:sit saw:see sent:send shone:shine shook:shake shot:shoot slept:sleep slid:slide sold:sell
    sought:seek spent:spend spoke:speak sprang:spring spun:spin stole:steal stood:stand strove:strive struck:strike
    stuck:stick stung:sting swam:swim swept:sweep swore:swear taught:teach threw:throw thought:think told:tell
    took:take understood:understand went:go wept:weep woke:wake won:win wore:wear wove:weave wrote:write
    """.split()
)
"""Past -> base form, where it does not end in -ed."""

_BEFORE_PARTICIPLE = frozenset(
    "is are was were be been being am have has had a an the get gets got by of very well newly not".split()
)
_PARTITIVE = frozenset("none all some each every any several not one certain at a".split())
_COPULAS = {"was": "is", "were": "are"}
_NOT_NUMBERED = RELATIVES | {"people", "those"}


def past_base(word: str) -> str | None:
    """Return the base form of a past tense, ``None`` if the word is none."""
    if word in IRREGULAR_PASTS:
        return IRREGULAR_PASTS[word]
    if not word.endswith("ed") or len(word) < 4:  # noqa: PLR2004 - "red" is no past
        return None
    stem = word[:-2]
    doubled = stem[:-1] if len(stem) > 2 and stem[-1] == stem[-2] else ""  # noqa: PLR2004 - "stopped"
    ies = stem[:-1] + "y" if stem.endswith("i") else ""
    return next((form for form in (stem, word[:-1], ies, doubled) if form in VERBS), None)


def in_present(words: Words) -> tuple[Words, bool] | None:
    """Return a past sentence in the present tense, and whether only lasting results of the past were changed.

    "Were built in 1920" is such a result: what is called "built in 1920" has it still.

    Args:
        words: One clause.

    Returns:
        ``None`` if nothing in it is past, or if what its main verb is cannot be told.
    """
    lowered = low(words)
    changed = list(words)
    lasting = True
    main = [index for index, word in enumerate(lowered) if word in ("was", "were", "had", "did", "could")]
    for index in main:
        following = lowered[index + 1 : index + 4]
        plural = _plural_before(words[:index])
        match lowered[index]:
            case "was" | "were":
                changed[index] = _COPULAS[lowered[index]]
                following = following[following[:1] == ("not",) :]
                participle = following[:1] and (following[0].endswith("ed") or following[0] in PARTICIPLES)
                lasting = lasting and bool(participle) and following[1:2] != () and following[1] in PREPOSITIONS
            case "could":
                if following[:1] == ("be",):
                    return None  # what may be, not what somebody was able to do
                changed[index], lasting = "can", False
            case "had":
                if following[:1] and (following[0] in ("been", "not", "to") or past_base(following[0])):
                    return None
                changed[index], lasting = "have" if plural else "has", False
            case _:
                changed[index], lasting = "do" if plural else "does", False
    in_relative = {index for index in main if index and lowered[index - 1] in RELATIVES}
    verbs = [index for index in range(1, len(words)) if _is_past(lowered, index)]
    related = [index for index in verbs if lowered[index - 1] in RELATIVES]
    free = [index for index in verbs if index not in related]
    if set(main) - in_relative or {"is", "are", "do", "does", "has", "have", "can"} & set(lowered):
        free = []  # the main verb is another: "houses built in 1920 were sold"
    if len(free) > 1:
        return None
    if any(_may_modify(lowered, index) for index in free):
        return None
    for index in (*related, *free):
        base = past_base(lowered[index])
        assert base is not None
        changed[index] = base if _plural_before(words[:index]) else third_person(base)
        lasting = False
    result = tuple(changed)
    return None if result == words else (result, lasting)


def _may_modify(lowered: Words, index: int) -> bool:
    """Whether a past form may belong to the noun before it: "nothing made of snow lasts"."""
    participle = lowered[index] in PARTICIPLES or lowered[index].endswith("ed")
    later = lowered[index + 1 :]
    if not participle or not later or later[0] not in PREPOSITIONS:
        return False
    return any(word in VERBS or base_form(word, known=VERBS) in VERBS or past_base(word) for word in later[1:])


def _is_past(lowered: Words, index: int) -> bool:
    return past_base(lowered[index]) is not None and lowered[index - 1] not in _BEFORE_PARTICIPLE


def _plural_before(before: Words) -> bool:
    """Whether a verb after these words is a plural; after "who" its own noun decides."""
    lowered = low(before)
    if lowered and lowered[-1] in RELATIVES:
        before, lowered = before[:-1], lowered[:-1]
    if lowered and lowered[0] in _PARTITIVE and "of" in lowered[:4]:
        start = lowered.index("of") + 1
        before, lowered = before[start:], lowered[start:]
    if not before or lowered[0] in ("every", "each", "everyone", "everybody", "anyone", "anybody", "nobody"):
        return False
    return lowered[-1] in _NOT_NUMBERED or looks_plural(before[head_index(before)])
