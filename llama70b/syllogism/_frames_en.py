"""The English grammar as data: whole-clause frames, truth prefixes and what they mean.

A pattern is matched against a whole clause, lower-cased, one space between words. In a pattern ``<S>`` is a noun
phrase, ``<N>`` a second noun phrase or adjective used as predicate, ``<P>`` a predicate that starts with its verb,
``<X>`` a statement; ``REL`` is a relative pronoun, ``BE`` a form of "be"; the rest is ordinary regular expression.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from llama70b.syllogism._kinds import Quantifier
from llama70b.syllogism._parse import logical_lines
from llama70b.syllogism._tables_en import A, E, I


@dataclass(frozen=True, slots=True)
class Frame:
    """A whole-clause pattern and the form it expresses.

    Attributes:
        pattern: The compiled pattern.
        force: The form.
        swap: The first slot is the predicate of the statement.
        note: Code of an assumption it brings.
    """

    pattern: re.Pattern[str]
    force: Quantifier
    swap: bool = False
    note: str = ""


_MACROS = {
    "REL": "(?:that|which|who)",
    "BE": "(?:is|are)",
    "EXIST": "(?:is|are|exists|exist)",
    "NOTHING": "(?:no thing|no person|no things|no people)",
    "THESETS": "(?:the )?(?:(?:sets|set|classes|class|groups|group|categories|category) of (?:all )?)?(?:the )?",
}


def _compile(pattern: str) -> re.Pattern[str]:
    for macro, meaning in _MACROS.items():
        pattern = re.sub(rf"\b{macro}\b", meaning, pattern)
    return re.compile(re.sub(r"<(\w)>", r"(?P<\1>.+?)", pattern.strip()))


def _frames(force: Quantifier, patterns: str, *, swap: bool = False, note: str = "") -> list[Frame]:
    return [Frame(_compile(line), force, swap, note) for line in logical_lines(patterns)]


NAMING_ASIDE = re.compile(
    r" ?, (?P<named>(?:(?:which|that|who) (?:is|are) )?(?:also |commonly |better |otherwise )?"
    r"(?:known as|called|referred to as|termed) [^,]+?) ?(?:,|$)"
)
"""A name between commas: "some animals, which are known as cats, are pets"."""

DOMAIN = re.compile(
    r"(?P<D>(?:in|within) (?:the (?:world|realm|domain|field|kingdom|study) of "
    r"(?:animals|plants|nature|living things|geometry|mathematics|numbers|biology|zoology|botany|chemistry|physics|"
    r"astronomy|music|sports|science|food|literature|art|shapes|birds|technology|cooking|medicine|business|law) |"
    r"(?:biology|zoology|botany|geometry|mathematics|chemistry|physics|astronomy|music|nature) )), ",
    re.IGNORECASE,
)
"""What the whole argument is about: a subject matter that changes no truth, unlike "the world of fiction"."""

FRAMES = (
    *_frames(
        I,
        """
        there EXIST (?:some thing|some person|at least one thing|some things|some people|things|people|a thing|
          a person|some objects|objects|some individuals|individuals|items|some items|certain things|
          at least one person|at least one object) REL BE (?:both )?(?:also )?<S> and (?:also )?<N>
        """,
    ),
    *_frames(
        E,
        """
        there EXIST (?:no thing|no person|no things|no people|no objects|no individuals|no items) REL BE (?:|
          both )<S> and <N>
        """,
    ),
    *_frames(
        E,
        """
        there EXIST (?:no such thing as an?|not any|not a single|not a|not an|not one|not even one|no) <S> REL <P>
        there (?:do|does) not exist (?:any|an|a single|a|even one) <S> REL <P>
        there can not be (?:any|an|a single|a) <S> REL <P>
        there can be no <S> REL <P>
        (?:no|not a single) <S> REL <P> (?:exist|exists)
        (?:no|not a single) <S> (?:exist|exists) REL <P>
        (?:you|we|one) (?:can not|can never|will not|will never|do not|never) find (?:any|an|a single|a) <S> REL <P>
        it BE (?:impossible|not possible) (?:to find|for there to be) (?:any|an|a single|a) <S> REL <P>
        """,
    ),
    *_frames(
        E,
        """
        there EXIST (?:no|not any) <S> among (?:the )?<N>
        THESETS<S> and THESETS<N> (?:do not|never) (?:overlap|intersect|share any (?:members|elements))(?: at all)?
        THESETS<S> and THESETS<N> BE (?:completely |entirely |mutually |totally |two |wholly )*(?:disjoint|
          exclusive|separate|non-overlapping|nonoverlapping)(?: (?:sets|classes|groups|categories))?
        THESETS<S> and THESETS<N> (?:have|share) (?:no|nothing)(?: (?:members|elements|overlap|common members|
          common elements))?(?: in common)?
        (?:the sets of )?THESETS<S> does not (?:overlap|intersect) with THESETS<N>
        THESETS<S> do not (?:overlap|intersect) with THESETS<N>
        there EXIST (?:no|not any) (?:overlap|intersection|members in common) between THESETS<S> and THESETS<N>
        no overlap exists between THESETS<S> and THESETS<N>
        no thing BE both <S> and <N>
        no person BE both <S> and <N>
        no thing (?:can|could) be both <S> and <N>
        no person can be both <S> and <N>
        (?:no|not any) (?:member|members) of THESETS<S> BE (?:also )?(?:a member|members) of THESETS<N>
        there EXIST (?:no thing|no person|no things|no people) that BE both <S> and <N>
        being <S> (?:excludes|precludes|rules out) being <N>
        it BE (?:impossible|not possible) for (?:any|an|a) <S> to (?:also )?be <N>
        it BE (?:impossible|not possible) to be both <S> and <N>
        """,
    ),
    *_frames(
        I,
        """
        there EXIST (?:some of the|some|at least one|at least some|at least a single|one or more|certain|
          a certain number of|an|a) <S> REL <P>
        there EXIST <S> REL <P>
        (?:some |certain |at least one )?<S> (?:exist|exists) REL <P>
        (?:some |certain |at least one )?<S> REL <P> (?:exist|exists)
        some <S> REL <P> (?:exist|exists)
        """,
    ),
    *_frames(
        I,
        "there EXIST (?:a few|several|various|a number of|a small number of|a handful of) <S> REL <P>",
        note="vague_some",
    ),
    *_frames(
        I,
        """
        there EXIST (?:some |at least one |an |a )?<S> among (?:the )?<N>
        THESETS<S> and THESETS<N> (?:do )?(?:overlap|intersect)
        there EXIST (?:some|an|at least some|a) (?:overlap|intersection) between THESETS<S> and THESETS<N>
        (?:some thing|some person|at least one thing|some things|some people|at least one person) BE both <S> and <N>
        there EXIST (?:some thing|some person|at least one thing|some things|some people|things|people|a thing|
          a person) REL BE both <S> and <N>
        THESETS<S> and THESETS<N> (?:have|share) (?:at least one member|some members|some elements|
          at least one element)(?: in common)?
        """,
    ),
    *_frames(
        A,
        """
        the (?:set|class|group|category) of (?:all )?(?:the )?<S> BE (?:entirely |fully |completely |
          wholly )?(?:a (?:proper )?subset of|included (?:entirely |wholly |fully |completely )?(?:in|within)|
          contained in|contained within|included within|within|
          a part of|part of|inside) THESETS<N>
        being <S> (?:means|implies|entails|involves) being <N>
        to be <S> is to be <N>
        """,
    ),
    *_frames(
        A,
        """
        the (?:set|class|group|category) of (?:all )?<S> (?:includes|contains|encompasses|comprises) (?:all of |
          all |every |each |
          the set of |the class of )(?:all )?(?:the )?<N>
        """,
        swap=True,
    ),
)

ONLY = tuple(
    tuple(phrase.split()) for phrase in "only|none but|no thing but|no person but|none except|solely".split("|")
)
"""Openings that make the subject the wider class: "only A are B" is "all B are A"."""

_SURELY = (
    "(?:indeed |always |widely |commonly |equally |similarly |likewise |just as |well-known |known |established |"
    "undeniable |indisputable |undisputed |accepted |simple |plain |also |certainly |clearly |definitely |well |a |"
    "universally |simply |in fact |further |still |thus |therefore |hence |necessarily |actually |"
    "undoubtedly |absolutely )*"
)

TRUE_PREFIXES = tuple(
    re.compile(line.strip().replace("SURELY", _SURELY))
    for line in logical_lines("""
    it is SURELY(?:true|fact|known|known fact|known truth|
      simple truth|truth|clear|certain|obvious|evident|the case|given|established|
      understood|accepted|fact of life|undeniable)(?: to say)? that (?:it is true that )?(?P<X>.+)
    (?:it is )?(?:true|correct|accurate) to say that (?P<X>.+)
    (?:it|this) (?:holds|remains true|turns out|happens)(?: to be (?:true|the case))? that (?P<X>.+)
    (?:we|i|you) (?:also )?(?:know|are told|are given|are also told|have)(?: for (?:a fact|certain))? that (?P<X>.+)
    it has (?:also |now |long |already |well |clearly )*been (?:also |clearly )*(?:established|proven|proved|shown|
      determined|confirmed|verified|demonstrated|observed|stated) that (?P<X>.+)
    there (?:is|can be) no (?:doubt|question|denying|disputing) (?:about the fact )?that (?P<X>.+)
    (?:no one|nobody|no-one) (?:doubts|denies|disputes|questions) that (?P<X>.+)
    (?:no one|nobody|no-one) (?:can|could|would) (?:deny|doubt|dispute) that (?P<X>.+)
    (?:one|we|you|it) can not (?:be denied|deny|dispute|be disputed|be doubted) that (?P<X>.+)
    (?:we|one|i|you) can be (?:sure|certain) that (?P<X>.+)
    the (?:statement|claim|proposition|sentence|assertion) that (?P<X>.+) (?:is|holds) (?:also )?(?:true|correct)
    the (?:statement|claim|proposition|sentence|assertion) that (?P<X>.+) holds
    (?:it is known|(?:we|one|i|you) knows?) that (?P<X>.+)
    the fact (?:is|remains) that (?P<X>.+)
    it can (?:also )?be (?:stated|observed|seen|noted|said)(?: with (?:certainty|confidence))? that (?P<X>.+)
    it is (?:also )?(?:stated|noted|observed) that (?P<X>.+)
    """)
)
FALSE_PREFIXES = tuple(
    re.compile(line.strip().replace("SURELY", _SURELY))
    for line in logical_lines("""
    it is SURELY(?:not|never) (?:at all )?(?:true|the case|so|fact|a fact|correct|right)(?: to say)? that (?P<X>.+)
    it is SURELY(?:false|untrue|incorrect|wrong|not true|falsehood)(?: to (?:say|claim|state))? that (?P<X>.+)
    it is SURELYfalse (?:claim|statement) that (?P<X>.+)
    it does not hold that (?P<X>.+)
    it (?:can|could) (?:not|never) be (?:true |the case |so |said |right |correct )?that (?P<X>.+)
    it is (?:also )?(?:impossible|not possible|inconceivable|out of the question) that (?P<X>.+)
    it would (?:also )?be (?:false|wrong|incorrect|untrue|mistaken|a mistake) to (?:say|claim|state|assert|
      think) that (?P<X>.+)
    it must be (?:false|untrue|wrong|incorrect) that (?P<X>.+)
    there is no way that (?P<X>.+)
    the (?:statement|claim|proposition|sentence|assertion) that (?P<X>.+) is (?:false|untrue|not true|incorrect|wrong)
    """)
)

AMONG = re.compile(
    r"(?:among|amongst|within|of|out of) (?:all )?(?:the )?(?:(?:group|set|class|category|collection) of )?"
    r"(?P<S>.+?) ,? ?(?P<Q>some|none|all|not all|not every one|at least one|a few|at least some|"
    r"several|certain ones|every one|each one|each|not one|not a single one)"
    r"(?: of them| of these)? (?P<R>.+)"
)
AMONG_THERE = re.compile(
    r"(?:among|amongst|within|in) (?:all )?(?:the )?(?:(?:group|set|class|category|collection) of )?"
    r"(?P<S>.+?) ,? ?there (?:is|are|exist|exists) (?P<Q>some|none|at least one|a few|at least some|"
    r"several|no one|not a single one|one or more)"
    r"(?: of them)? (?:that|who|which) (?P<R>.+)"
)
AMONG_QUANTIFIERS = {
    "some": "some",
    "none": "no",
    "all": "all",
    "not all": "not all",
    "not every one": "not all",
    "at least one": "at least some",
    "at least some": "at least some",
    "a few": "a few",
    "several": "several",
    "certain ones": "certain",
    "every one": "all",
    "each one": "all",
    "each": "all",
    "not one": "no",
    "no one": "no",
    "not a single one": "no",
    "one or more": "some",
}
