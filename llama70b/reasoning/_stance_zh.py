"""What a Chinese answer says about a conclusion, clause by clause. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

from llama70b.reasoning._stance_types import Claim, Finding, Stance, signed

_SIMPLER = str.maketrans(
    "無結論斷確證謬誤並沒從導認為這個題對話說錯樣會間與於據夠來應該實際條兩關係",
    "无结论断确证谬误并没从导认为这个题对话说错样会间与于据够来应该实际条两关系",
)
_CLAUSE = re.compile(r"[，,；;：:、]|但是?|然而|因为|由于|所以|因此|虽然|不过|而且|并且")
_QUESTION = re.compile(r"是否|能否|可否|能不能|可不可以|是不是|会不会|对不对|吗")
_DRAW = r"(?:得出|推出|推断|推论|推导|推知|断定|断言|确定|确认|下结论|保证|证明|判断|肯定|必然地?说|认为)"
_NEGATIVE = re.compile(
    rf"(?:不能|无法|不可以?|并不能|未能|难以|没法|不足以|没有办法|不可能|不应该?|没有(?:充分|足够)?的?(?:依据|根据|理由|信息|证据|条件))[^。]{{0,14}}?{_DRAW}"
    r"|(?:推|得)不出|不(?:一定|必然|见得)|并非必然|未必|不成立|不(?:是)?(?:一个)?有效|无效|谬误|不足(?!为奇)|不意味着|并不代表|不代表|不正确|不合(?:逻辑|理)"
    r"|不能(?:这样|如此|直接)|逻辑(?:上)?(?:是)?错误|没有必然|无必然|不蕴含|不(?:能)?由此|不能保证|站不住脚|无法得知|无从得知|不确定"
)
_POSITIVE = re.compile(
    rf"(?:可以|能够?|足以|必然|必定|由此可?|我们)[^。不无没]{{0,10}}?{_DRAW}|(?:结论|推理|论证|推论)[^。不无没]{{0,6}}(?:成立|有效|正确)|必然(?:成立|为真)|由此可(?:知|见)"
)
_FLIP_BEFORE = re.compile(r"(?:不能说|不是说|并不是说|并非|不对的是|错误的是|说)[^。]{0,3}$")
_FLIP_AFTER = re.compile(r"(?:这种?)?(?:说法|观点|看法|认为)?[^。]{0,8}?(?:是)?(?:不对|错误|不正确|不准确|错)的?$")
_ANSWER = (
    (
        re.compile(
            r"^(?:不能|不可以|不行|不是|否|不一定|未必|不必然|不对|错误?|不成立|并不能|无法)(?=$|[，。,.！!；;：:]|的)"
        ),
        -1,
    ),
    (re.compile(r"^(?:能|可以|是的?|对的?|正确|成立|当然可以|可以的|能的)(?=$|[，。,.！!；;：:])"), 1),
)
_LABEL = re.compile(
    r"^(?:(?:所以|因此|综上(?:所述)?|总之|最终)[，,]?)*(?:(?:最终|正确)?(?:答案|结论|回答|判断)(?:是|为)?[：:，,]?)?[“\"「]?"
)
_CONDITIONAL = re.compile(r"如果|否则|假如|假设|倘若|要是|除非|若")


def findings(sentence: str, claim: Claim | None) -> Iterator[Finding]:
    """Yield what one sentence says, in its order; see the English reader for the arguments."""
    sentence = sentence.translate(_SIMPLER)
    body = _LABEL.sub("", sentence, count=1)
    for pattern, sign in _ANSWER:
        if pattern.search(body):
            yield Finding(signed(sign), sentence)
            break
    for clause in _CLAUSE.split(sentence):
        stance = _clause(clause.strip(" 。.！!"), claim)
        if stance is not None:
            conditional = stance is Stance.FOLLOWS and bool(_CONDITIONAL.search(sentence))
            yield Finding(stance, sentence, conditional=conditional)


def _clause(clause: str, claim: Claim | None) -> Stance | None:
    if re.search(r"(?:矛盾|必然为假|必定为假)", clause) and not re.search(r"[不无没]", clause):
        return Stance.CONTRADICTED
    negative = _NEGATIVE.search(clause)
    positive = None if negative else _POSITIVE.search(clause)
    found = negative or positive
    question = _QUESTION.search(clause)
    if found is None or (question is not None and question.start() <= found.start()):
        return None  # "whether it follows"; but "cannot tell whether ..." is a verdict
    rest = clause[found.end() :]
    sign = -1 if negative else 1
    if _FLIP_AFTER.search(rest) or (negative and _FLIP_BEFORE.search(clause[: found.start()])):
        sign = -sign
    elif claim is not None and _another(rest, claim, negative=bool(negative)):
        return None
    return signed(sign)


_BARE = re.compile(r"这个|这一|这样的?|该|此|上述|结论|的|了|出|来|说")


def _another(rest: str, claim: Claim, *, negative: bool) -> bool:
    """Whether what is concluded is plainly another statement than the claim."""
    rest = _BARE.sub("", rest)
    universal = re.search(r"所有|全部|每", rest)
    if universal and claim.quantifier == "some":
        return True
    if negative or len(rest) < 4 or not any(not stem.isascii() for stem in claim.subject):  # noqa: PLR2004 - a bare "结论"
        return False
    return not claim.both(rest)
