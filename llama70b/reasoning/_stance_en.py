"""What an English answer says about a conclusion, clause by clause. Pure.

A clause states a verdict by a *core* word ("conclude", "follow", "valid" ...). Its sign comes from the negator near it
and from what stands around it ("it is not correct to say that ..."), so that double negations come out right.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from llama70b.reasoning._stance_types import Claim, Finding, Stance, signed

_SPLIT = re.compile(
    r"[,;:]|\s[-\u2013]\s|\u2014|\b(?:and|but|because|since|although|though|while|whereas|so|therefore|thus|hence|"
    r"which|then|however|yet)\b"
)
_MARKER = re.compile(
    r"\b(?:therefore|thus|hence|so|consequently|accordingly|it follows|conclusion|conclude|means|meaning|implies)\b"
    r"[\s,:]*(?:that|is|we can (?:say|conclude)|it is (?:true|clear|certain) that)?[\s,:]*$"
)
_LABEL = re.compile(
    r"^(?:(?:so|therefore|thus|hence|in (?:short|summary|conclusion)|overall|finally|well|wait|actually|hmm)\b[\s,:]*)*"
    r"(?:(?:the |my |final |short |correct )*(?:answer|verdict|conclusion|result)(?: to (?:the|your|this) question)?"
    r"(?:\s*:|\s+(?:is|would be|must be|should be|remains)\b)[\s,:]*)?"
)
_PERSON = r"(?:we|it|you|one|i|this|that|the|there|because|since|not)\b"
_PARTICLES = (
    (re.compile(rf"^(?:no|nope)(?=\W*$|\s*[,.;:!\u2014-]|\s+{_PERSON})"), -1),
    (re.compile(rf"^(?:yes|yeah|yep|yup)(?=\W*$|\s*[,.;:!\u2014-]|\s+{_PERSON})"), 1),
    (re.compile(r"^(?:certainly|definitely|absolutely|of course|unfortunately|probably|logically|sadly) not\b"), -1),
    (re.compile(r"^not (?:necessarily|quite|really|exactly|logically|validly|from (?:this|these|that|the))\b"), -1),
    (re.compile(r"^(?:invalid|unknown|uncertain|undetermined|indeterminate|inconclusive|neither|incorrect)\W*$"), -1),
    (re.compile(r"^(?:valid|true|correct)\W*$"), 1),
    (re.compile(r"^false\W*$"), -1),
)
_VERBS = (
    r"conclud(?:e|ed|ing)|infer(?:red|ring)?|deduc(?:e|ed|ing)|derived?|determined?|establish(?:ed)?|say|said|assert|"
    r"know|known|be (?:sure|certain)|prove[dn]?|proves|guarantee[ds]?|ensures?|claim|state|"
    r"(?:draw|drawn|reach|reached|make|made|arrive at|jump to|come to)(?: (?:a|an|any|the|this|that|such))?"
    r"(?: \w+)? ?(?:conclusions?|inferences?)|(?:drawn|reached|inferred)"
)
_RESULTS = r"follows?|entail(?:s|ed)?|impl(?:y|ies|ied)|means?|justif(?:y|ies)|supports?|warrants?"
_GOOD = (
    r"valid|sound|justified|warranted|guaranteed|supported|certain|sure|entailed|correct|right|true|logical|"
    r"logically sound|assured|conclusive"
)
_BAD = (
    r"invalid|unsound|unjustified|unwarranted|unsupported|uncertain|undetermined|undeterminable|indeterminate|"
    r"inconclusive|incorrect|wrong|false|flawed|fallacious|illogical|(?:logical |formal )?fallacy|non[- ]sequitur|"
    r"mistake|error|insufficient|unknown"
)
_CORE = re.compile(rf"\b(?:(?P<verb>{_VERBS})|(?P<result>{_RESULTS})|(?P<good>{_GOOD})|(?P<bad>{_BAD}))\b")
_SAYING = r"(?:say|claim|state|assert|argue|think|believe|maintain|suggest|hold|answer)"
_OUTER = re.compile(
    rf"(?P<neg>\b(?:not|never|hardly)(?: \w+ly)? (?:be )?(?:entirely |quite |logically )?)?"
    rf"\b(?:(?P<plus>correct|true|right|accurate|fair|valid|possible|able|safe|reasonable|logical|justified|the case)|"
    rf"(?P<minus>incorrect|wrong|false|untrue|mistaken|inaccurate|invalid|impossible|unable|unsafe|unreasonable|illogical|"
    rf"fallacious|unjustified|premature|(?:a |an )?(?:mistake|error|fallacy)))(?: (?:for us|here))?"
    rf"(?: to(?: (?:logically|definitively|validly|safely|simply))*(?: {_SAYING})?(?: that)?| that)(?=\s|$)"
    rf"|\b(?P<deny>disagree|reject|deny|dispute|(?:do|does|did|would) not (?:agree|think|believe|mean))\b"
    rf"(?: with)?(?: the (?:claim|idea|statement))?(?: that)?"
)
_NEGATOR = re.compile(
    r"\b(?:cannot|not|never|no|unable|impossible|insufficient|nothing|neither|nor|hardly|fails? to|none|lacks?|"
    r"too little)\b"
)
_EXISTS_NONE = re.compile(
    r"\b(?:nothing|there (?:is|are) (?:no|not)|no (?:premise|statement|information|evidence|basis|rule))\b"
)
_REPORTED = re.compile(
    r"\b(?:whether|if)(?: or not)? (?:we|one|it|you|i|this|that|they|the "
    r"(?:conclusion|statement|argument|inference|claim))\b"
    r"|\b(?:need|want|try|trying|order|attempt(?:ing)?|asked|wish|going|tempting|tempted|easy|how|used) to$"
    r"|\bto be$|\b(?:might|may|could) (?:seem|appear|think|be tempted|look)\b|\bat first\b"
    r"|\b(?:mistakenly|wrongly|incorrectly|erroneously)\b|\bonly\b(?! if)"
    r"|\bto what\b|\bwhat (?:we|one|you) can\b|\bassum(?:e|ing)\b"
)
_ABLE = re.compile(
    r"\b(?:can|could|may|able|possible|enough|sufficient|allows?|lets?|permits?|safely|safe|reasonable|logically|must|"
    r"should|do|we|one|you|therefore|is|are|be|been|premises?|statements?|argument|this|that|information|it)\b"
)
_ABOUT_ARGUMENT = re.compile(
    r"\b(?:conclusions?|statement|claim|argument|inference|reasoning|syllogism|deduction|logic|it|this|that|answer|"
    r"assertion|which|we|roses)\b"
)
_SUBJUNCTIVE = re.compile(r"\b(?:if|unless|suppose|imagine|instead|had|were|only if|provided that|otherwise)\b")
_WEAK = re.compile(
    r"\b(?:do|does|did) not(?: \w+ly)? "
    r"(?:tell|specify|state|say|indicate|provide|give|mention|establish|address)\b"
    r"|\bno (?:information|evidence|indication|mention|statement|overlap)\b|\bmay or may not\b|\bmight or might not\b"
    r"|\b(?:would|will|still|also) (?:need|require) "
    r"(?:to know |more|additional|further|extra|another|a premise|information)"
    r"|\bcould be (?:other|entirely other|different) flowers\b"
)
_HEDGED = re.compile(r"\b(?:may|might|could|can|possibly|perhaps|potentially|if|would|not|never)\b")


def findings(sentence: str, claim: Claim | None) -> Iterator[Finding]:
    """Yield what one sentence says, in its order.

    Args:
        sentence: Lower case, contractions expanded, no Markdown; questions are left out by the caller.
        claim: The conclusion in question, if known: a sentence about another one is passed over.
    """
    subjunctive = bool(_SUBJUNCTIVE.search(sentence))
    body = _LABEL.sub("", sentence, count=1)
    for pattern, sign in _PARTICLES:
        if pattern.search(body):
            yield Finding(signed(sign), sentence)
            break
    start = 0
    for clause, at in _clauses(sentence):
        found = _clause(clause, claim)
        if found is None and claim is not None and _MARKER.search(sentence[start:at]):
            found = _assertion(clause, claim)
        if found is not None:
            yield Finding(found, sentence, conditional=subjunctive and found is Stance.FOLLOWS)
    if _WEAK.search(sentence):
        yield Finding(Stance.DOES_NOT_FOLLOW, sentence, weak=True)
    elif claim is not None and sentence.rstrip(".! ") == claim.words:
        yield Finding(Stance.FOLLOWS, sentence, weak=True)


def _clauses(sentence: str) -> Iterator[tuple[str, int]]:
    at = 0
    for cut in _SPLIT.finditer(sentence):
        yield sentence[at : cut.start()].strip(), at
        at = cut.end()
    yield sentence[at:].strip(), at


_TOO_LITTLE = re.compile(
    r"\b(?:not|without|no|lack(?:s|ing)?) (?:have )?(?:enough|sufficient) "
    r"(?:information|evidence|data|grounds|premises)(?! to (?:rule|deny))"
    r"|\binsufficient (?:information|evidence|data|grounds)\b"
)
_SHORT = re.compile(
    r"^(?:so |no |yes |i am afraid |unfortunately )*(?:we|you|one|i) (?:(?P<denied>cannot)|can)[\s.!]*$"
)


def _clause(clause: str, claim: Claim | None) -> Stance | None:
    if re.search(r"\b(?:contradict(?:s|ed|ory)?|(?:must|necessarily|definitely|certainly) (?:be )?false)\b", clause):
        return None if _NEGATOR.search(clause) else Stance.CONTRADICTED
    if _TOO_LITTLE.search(clause):
        return Stance.DOES_NOT_FOLLOW
    if (short := _SHORT.search(clause)) is not None:
        return signed(-1 if short["denied"] else 1)
    for core in _CORE.finditer(clause):
        sign = _sign(clause, core)
        if sign is None:
            continue
        sign *= _verdict_on_saying(clause, core)
        match _aim(clause[core.end() :], claim, negative=sign < 0):
            case "same":
                if core["result"] in ("mean", "means", "imply", "implies", "implied") and sign > 0 and claim is None:
                    continue
                return signed(sign)
            case "opposite" if sign > 0:
                return Stance.CONTRADICTED
            case _:
                return None
    return None


def _sign(clause: str, core: re.Match[str]) -> int | None:
    """Return +1 or -1 for what the core says, None where it says nothing about the conclusion."""
    before = clause[: core.start()].rstrip()
    if _REPORTED.search(before):
        return None
    sign, rest = 1, before
    for outer in _OUTER.finditer(before + " "):
        flips = bool(outer["deny"]) or (bool(outer["neg"]) != bool(outer["minus"]))
        sign, rest = (-sign if flips else sign), before[outer.end() :]
    if _OUTER.match(clause[core.start() :] + " "):
        return None  # "it is not correct to say ...": the core comes later
    near = re.split(r"\b(?:that|which|who|because|means)\b", rest)[-1]
    said = clause[core.end() :].strip(" .!\"'")
    if core["verb"] and _SPEAKS.fullmatch(core["verb"]) and not (_MAY_SAY.search(near) and _SPOKEN.match(said)):
        return None
    if (core["good"] or core["bad"]) and not (_PREDICATE.search(before) or not before):
        return None
    negated = bool(_NEGATOR.search(" ".join(near.split()[-9:]))) or bool(_EXISTS_NONE.search(rest))
    if core["verb"] and rest == before and not negated and not _ABLE.search(near):
        return None
    if core["verb"] and re.search(r"\bto$", near) and rest == before and not negated and not _CAN_TO.search(near):
        return None
    if core["result"] and (_IDLE.search(near) or _OTHER_SENSE.match(clause[core.end() :])):
        return None
    if (core["good"] or core["bad"]) and core["bad"] != "insufficient" and not _ABOUT_ARGUMENT.search(before):
        return None if not negated or before.split()[-1:] == ["no"] else -sign
    if core["good"] in ("true", "right", "sure", "logical", "correct") and not negated and not _SUBJECT.search(before):
        return None
    if core["bad"]:
        sign = -sign
    return -sign if negated else sign


_SPEAKS = re.compile(r"say|said|assert|claim|state|know|known")
_MAY_SAY = re.compile(
    r"\b(?:can|could|may|cannot|be|not)(?: \w+ly)?$|\b(?:way|able|unable|possible|impossible|information) to$"
)
_IDLE = re.compile(r"(?:^| )(?:as|would|anything|everything)$")  # "as follows", "anything would follow"
_OTHER_SENSE = re.compile(r"\s+(?:these|the (?:rules?|logic|steps?|premises?)|a |along|up\b|suit)")
_SPOKEN = re.compile(
    r"^(?:$|(?:for (?:sure|certain)|with certainty|anything|definitively|that|whether|if|this|it|so|some|any|from)\b)"
)
_PREDICATE = re.compile(
    r"\b(?:is|are|was|were|be|being|been|seems?|remains?|considered|deemed|commits?|makes?|not|no)"
    r"(?: (?!of\b|with\b|in\b|for\b|example\b)\S+){0,4}$"
)
_CAN_TO = re.compile(
    r"\b(?:able|possible|enough|sufficient|allows?|lets?|permits?|safe|reasonable|valid|correct|fair)\b"
)
_SUBJECT = re.compile(r"\b(?:conclusion|statement|claim|argument|inference|reasoning|deduction|answer)\b")
_SAID = re.compile(
    r"\b(?:claim|statement|idea|assertion|notion|suggestion|saying|belief|view|say|argue|answer|concluding)\b"
)
_TRAILING = re.compile(
    rf"\b(?:is|was|would be|seems)(?P<neg> not)?(?: \w+ly)? "
    rf"(?:(?P<minus>{_BAD}|untrue|mistaken)|(?P<plus>{_GOOD}|accurate))$"
)


def _verdict_on_saying(clause: str, core: re.Match[str]) -> int:
    """Return -1 for "the claim that we can conclude it is wrong", else +1."""
    trailing = _TRAILING.search(clause.rstrip(" .!"))
    if trailing is None or trailing.start() < core.end() or not _SAID.search(clause[: core.start()]):
        return 1
    return -1 if bool(trailing["neg"]) != bool(trailing["minus"]) else 1


_CIRCUMSTANCE = re.compile(
    r"^(?:(?:from|based|on|in|with|given|under|by|as|at|for|here|using|solely|purely|logically|necessarily|definitively)\b"
    r"(?:(?! that ).)*)"
)


def _aim(rest: str, claim: Claim | None, *, negative: bool) -> str:
    """Say whether what follows the core is the conclusion in question: `same`, `opposite` or `other`."""
    complement = _CIRCUMSTANCE.sub("", _TRAILING.sub("", rest.strip(" .!\"'")).strip())
    if claim is None or len(complement.split()) < 3:  # noqa: PLR2004 - too short to be another statement
        return "same"
    return claim.aim(complement, lenient=negative)


def _assertion(clause: str, claim: Claim) -> Stance | None:
    if claim.aim(clause, lenient=False) == "opposite":
        return Stance.CONTRADICTED
    if _HEDGED.search(clause) or claim.aim(clause, lenient=False) != "same" or not claim.both(clause):
        return None
    return Stance.FOLLOWS
