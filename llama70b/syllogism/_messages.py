"""Sentences for reasons and assumptions, in both languages. Data only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llama70b.syllogism._kinds import Language, Reason

if TYPE_CHECKING:
    from llama70b.syllogism._parse import Note

REASONS: dict[Reason, tuple[str, str]] = {
    Reason.EMPTY: ("there is nothing to read", "没有可读的内容"),
    Reason.NO_STATEMENT: (
        "this is not a statement of the form all / no / some / not all ... are ... that I can read for certain",
        "这不是我能确定读懂的“所有／没有／有些／并非所有……是……”的句子",
    ),
    Reason.NO_PREMISES: ("there is no premise to reason from", "没有可供推理的前提"),
    Reason.SEVERAL_CONCLUSIONS: (
        "there is more than one conclusion; ask about one at a time",
        "结论不止一个，请一次问一个",
    ),
    Reason.QUANTITY: (
        "it speaks of an amount (most, few, many ...), which is neither all, none nor some",
        "它说的是数量（大多数、很少、许多……），既不是全部、没有，也不是有些",
    ),
    Reason.NUMBER: ("it counts; numbers are outside categorical logic", "它涉及具体数目，超出直言逻辑"),
    Reason.CONDITIONAL: ("it is a condition (if, unless, when) inside a statement", "句子里面含有条件（如果、除非）"),
    Reason.EXCEPTION: ("it makes an exception or speaks of the others", "它含有例外或“其他”"),
    Reason.EXCLUSIVE: ("what “only” restricts here is not clear", "这里“只”限定的是什么不清楚"),
    Reason.BOOLEAN: ("it joins classes by and / or", "它用“和／或”连接了几个类"),
    Reason.NEGATION: ("a negation is hidden inside a term", "词项里面含有否定"),
    Reason.MODALITY: ("it says what may, must or is likely to be, not what is", "它说的是可能或必须，而不是事实"),
    Reason.FREQUENCY: ("it says how often, not of which things", "它说的是频率，而不是哪些事物"),
    Reason.TENSE: ("it is about the past or the future", "它说的是过去或将来"),
    Reason.ATTITUDE: ("it reports an opinion or an appearance", "它转述的是看法或表象"),
    Reason.RELATION: ("it compares or relates things to each other", "它说的是事物之间的关系或比较"),
    Reason.PRONOUN: ("what the pronoun stands for is not certain", "代词指什么不确定"),
    Reason.DEFINITE: (
        "“the ...” may be one particular thing or the whole kind",
        "“这个……”可能指一个事物，也可能指整个类",
    ),
    Reason.COLLECTIVE: (
        "it speaks of the kind or the group as a whole, not of each member",
        "它说的是整个种类或群体，而不是每一个成员",
    ),
    Reason.QUANTIFIER_IN_TERM: ("a term still holds a quantifier", "词项里面还有量词"),
    Reason.EXISTENCE: ("it only says that something exists or does not", "它只说某物存在或不存在"),
    Reason.AMBIGUOUS: ("it can be read in two ways that lead to different verdicts", "它有两种读法，结论不同"),
    Reason.FOUR_TERMS: (
        "the terms do not join up: some words would have to mean the same for anything to follow",
        "词项连接不起来：要推出什么，有些词得是同一个意思",
    ),
    Reason.COMPOUND_TERM: (
        "one term is part of another, and the verdict would depend on how",
        "一个词项是另一个的一部分，结论取决于二者的关系",
    ),
    Reason.SAME_TERM: ("subject and predicate are the same", "主项和谓项相同"),
}
"""Reason -> the sentence in English and in Chinese."""

NOTES: dict[str, tuple[str, str]] = {
    "generic_plural": ("“{0}” without a quantifier is taken as all of them", "“{0}”没有量词，按“所有”理解"),
    "generic_singular": ("“{0}” is taken as any of the kind, so as all", "“{0}”按“任何一个”即“所有”理解"),
    "generic_mass": ("“{0}” without a quantifier is taken as all of it", "“{0}”没有量词，按“所有”理解"),
    "generic_the": ("“{0}” is taken as all of them", "“{0}”按“所有”理解"),
    "definite": ("“{0}” is taken as one and the same thing throughout", "“{0}”始终指同一个事物"),
    "these": ("“{0}” are taken as the same ones throughout", "“{0}”始终指同样的事物"),
    "known_as": ("“{0}” is taken as naming the class “{1}”", "“{0}”按“{1}”这个类的名称理解"),
    "vague_some": ("“{0}” is taken as at least one", "“{0}”按“至少有一个”理解"),
    "all_not": (
        "“{0} ... not” may deny all or not all; both were decided and the verdict is the same",
        "“{0}……不”可以是全部否定，也可以是部分否定；两种都判过，结论相同",
    ),
    "each_not": ("“each ... not” is taken as none", "“每一个都不”按“没有一个”理解"),
    "can_be": ("“can be” is taken as “are”", "“能是”按“是”理解"),
    "described": ("“{0}” is taken as what it is", "“{0}”按实际如此理解"),
    "person": ("“{0}” is taken as said of anything", "“{0}”按适用于任何事物理解"),
    "bound": ("“{0}” is taken as one property", "“{0}”按一个整体的性质理解"),
    "domain": ("“{0}” is taken as what the whole argument is about", "“{0}”按整个论证的范围理解"),
    "past": (
        "the past tense is taken as one time throughout",
        "过去时按同一时间理解",
    ),
    "lasting": (
        "what was done in the past is taken as a lasting property",
        "过去发生的事按持续的性质理解",
    ),
    "by_model": ("a model read this sentence as “{0}”", "这一句由模型读作“{0}”"),
    "aligned_by_model": (
        "a model took “{0}” and “{1}” for the same class",
        "模型把“{0}”和“{1}”看作同一类",
    ),
    "same": ("“{0}” and “{1}” are taken as the same class", "“{0}”和“{1}”按同一类理解"),
    "prefix": ("“{0}” is taken as the opposite of “{1}”", "“{0}”按“{1}”的反面理解"),
    "last_is_conclusion": ("no conclusion is marked, so the last sentence is taken as it", "没有标明结论，取最后一句"),
    "some_at_least_one": ("“some” means at least one, perhaps all", "“有些”指至少一个，也可能是全部"),
}
"""Code of an assumption -> the sentence in English and in Chinese; ``{0}`` is the user's words."""


def reason_words(reason: Reason, words: str, language: Language) -> str:
    """Return the sentence for a refusal, with the words at fault."""
    sentence = REASONS[reason][language == "zh"]
    if not words:
        return sentence
    return f"“{words}”: {sentence}" if language == "en" else f"“{words}”：{sentence}"


def note_words(note: Note, language: Language) -> str:
    """Return the sentence for an assumption."""
    return NOTES[note.code][language == "zh"].format(*note.words)
