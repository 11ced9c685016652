"""The Chinese grammar as data: determiners, copulas, markers, logical words."""

from __future__ import annotations

import re

from llama70b.syllogism._kinds import Quantifier, Reason

A, E, I, O = Quantifier.ALL, Quantifier.NO, Quantifier.SOME, Quantifier.SOME_NOT  # noqa: E741 - their names since 1200

_CLASSIFIER = "[个只位名种朵条件头匹辆本间项类棵株颗家场座台艘架支枝块张片滴句]"

DETERMINERS = tuple(
    (re.compile(pattern), force, wide)
    for pattern, force, wide in (
        (
            rf"(?:并非|不是|并不是|未必|不一定)(?:所有的?|全部的?|一切|每一?{_CLASSIFIER}?|任何一?{_CLASSIFIER}?|凡是?)",
            O,
            False,
        ),
        (
            rf"(?:没有(?:任何|哪|一|任何一|哪一)?(?:{_CLASSIFIER}(?!的))?|无一{_CLASSIFIER}?|不存在任何|没有什么)",
            E,
            False,
        ),
        (
            rf"(?:所有的?|全部的?|一切的?|凡是|凡|每一?{_CLASSIFIER}|每一|任何的?一?{_CLASSIFIER}?|任意一?{_CLASSIFIER}?|全体|各{_CLASSIFIER})",
            A,
            True,
        ),
        (
            (
                rf"(?:至少有?一?(?:些|{_CLASSIFIER})|有一?(?:些|部分|{_CLASSIFIER})|有的|某些|某一?{_CLASSIFIER}|一些|一部分|部分|"
                rf"存在着?一?(?:些|部分|{_CLASSIFIER})?)"
            ),
            I,
            False,
        ),
    )
)
"""Pattern at the start of a clause, the form it gives, and whether a plain 不 after it is ambiguous."""

COPULAS = (
    *(("不都是", "not_all"), ("不全是", "not_all"), ("并不都是", "not_all"), ("并非都是", "not_all")),
    *(("并不全是", "not_all"), ("并非全是", "not_all"), ("不全都是", "not_all"), ("不都属于", "not_all")),
    *(("未必都是", "not_all"), ("不一定都是", "not_all")),
    *(("全都不是", "none"), ("都不是", "none"), ("均不是", "none"), ("皆不是", "none"), ("都不属于", "none")),
    *(
        ("均非", "none"),
        ("皆非", "none"),
        ("绝不是", "none"),
        ("从来不是", "none"),
        ("决不是", "none"),
        ("都并非", "none"),
    ),
    *(("并不是", "not"), ("并非", "not"), ("不是", "not"), ("不属于", "not")),
    *(("全都是", "all"), ("都属于", "all"), ("都是", "all"), ("全是", "all"), ("均是", "all"), ("均为", "all")),
    *(("皆是", "all"), ("皆为", "all"), ("都为", "all"), ("一律是", "all")),
    *(("也是", "is"), ("就是", "is"), ("属于", "is"), ("是", "is")),
)
"""Copula, longest first within its kind, and what it says; ``all`` and ``none`` quantify by themselves."""

VERB_OPENERS = (
    *(("不含有", "not", "含有"), ("含有", "is", "含有"), ("享有", "is", "享有"), ("持有", "is", "持有")),
    *(
        ("都不会", "none", "会"),
        ("都不能", "none", "能"),
        ("都没有", "none", "有"),
        ("均不", "none", ""),
        ("都不", "none", ""),
    ),
    *(("不都会", "not_all", "会"), ("不都能", "not_all", "能"), ("不都", "not_all", ""), ("并不都", "not_all", "")),
    *(
        ("都会", "all", "会"),
        ("都能", "all", "能"),
        ("都有", "all", "有"),
        ("都", "all", ""),
        ("均", "all", ""),
        ("皆", "all", ""),
    ),
    *(("从不", "none", ""), ("并不", "not", ""), ("不会", "not", "会"), ("不能", "not", "能"), ("没有", "not", "有")),
    *(
        ("不", "not", ""),
        ("会", "is", "会"),
        ("能够", "is", "能够"),
        ("能", "is", "能"),
        ("有", "is", "有"),
        ("很", "is", "很"),
    ),
    *(
        ("非常", "is", "非常"),
        ("喜欢", "is", "喜欢"),
        ("需要", "is", "需要"),
        ("拥有", "is", "拥有"),
        ("具有", "is", "具有"),
    ),
)
"""Beginning of a verb phrase after the subject, what it says, and what of it belongs to the verb phrase."""

FORBIDDEN = tuple(
    (re.compile(pattern), reason)
    for pattern, reason in (
        (
            r"大多数|多数|大部分|少数|很少|许多|很多|不少|几乎|大约|左右|至多|最多|超过|一半|半数|百分|%|大量|众多|若干|极少|绝大|一小部分|多半|差不多|基本上|大体|大概",
            Reason.QUANTITY,
        ),
        (
            r"\d|[一二三四五六七八九十百千万两几双][个只位名种朵条件头匹辆本间项类棵株颗]|恰好|正好|仅有|唯一|第[一二三四五六七八九十]",
            Reason.NUMBER,
        ),
        (r"除了|除非|除[^草尘霜]|以外|之外|例外|其他|其它|其余|另一|别的", Reason.EXCEPTION),
        (r"如果|假如|若是|要是|只要|一旦|倘若|当.*时|的时候|则|否则", Reason.CONDITIONAL),
        (r"或|和|与|以及|并且|而且|且|、|及|既|又|要么|还是|同时|也|但|，|,", Reason.BOOLEAN),
        (
            r"可能|也许|或许|必须|应该|应当|必然|必定|可以|得以|未必|不一定|大概|似乎|好像|看起来|据说|一定",
            Reason.MODALITY,
        ),
        (r"通常|往往|经常|有时|一般|总是|偶尔|常常|时常|平时|大都|大多|常|从来", Reason.FREQUENCY),
        (r"曾|过去|以前|将来|将会|已经|昨天|明天|刚刚|了$", Reason.TENSE),
        (r"比|更|最|一样|相同|等于|相等|之间|互相|相互|大于|小于", Reason.RELATION),
        (r"认为|相信|觉得|以为|声称|希望|想要|据说|怀疑", Reason.ATTITUDE),
        (r"他们|她们|它们|他|她|它|这|那|其|我|你|自己|彼此|前者|后者|谁|什么|哪", Reason.PRONOUN),
        (r"所有|一切|凡|每|任何|有些|有的|某|全部|全体|至少|一些|部分", Reason.QUANTIFIER_IN_TERM),
        (r"只有|只是|只|仅|才|唯", Reason.EXCLUSIVE),
        (r"不|没|非|无一|否", Reason.NEGATION),
        (r"存在", Reason.EXISTENCE),
        (r"都|均|皆|是|为何|吗|呢", Reason.NO_STATEMENT),
    )
)
"""What must not be left inside a Chinese term, and why."""

HARMLESS = re.compile(
    r"这[家所座间本部条]|常绿|和平|和尚|和谐|首都|都市|成都|京都|比赛|比例|比萨|将军|非洲|不锈钢|不倒翁|与会者|及格|及时雨|其实|他人|无其|最终|"
    r"才能|才华|人才|天才|才子|是非|非金属|不动产|常青|非常|日常|正常|常春藤|经常账|平常|异常|中国部分|"
    r"只读|一只|船只|飞机|及格者|且末|又名|了解|为人|凡人|非凡|平凡|每日|有机物|无机物|原则|规则|法则"
)
"""Words that only contain a logical character."""

ADVERB = re.compile(
    r"^(?:其实|事实上|实际上|显然|确实|的确|当然|也|又|还|另外|此外|同时|而|但是|但|而且|并且|且|然而|不过|首先|其次|再次|最后)[，,]?"
)

PREMISE_OPENER = re.compile(
    r"^(?:如果说?|假如|假设|假定|倘若|若是?|要是|已知|因为|由于|既然|首先|其次|再者|设|给定|鉴于|我们知道|众所周知|前提(?:是|为)|根据|大家都知道|另外|此外|同时|"
    r"而且|并且|而|但是|但|且|又|又知|又因为|还|以及|和)[，,:：]?"
)
LABEL = re.compile(
    r"^\s*(?:[-*•·]\s*|[（(]?(?:\d{1,2}|[一二三四五六七八九十①②③④⑤])[)）.、．:：]\s*|[①②③④⑤]\s*|"
    r"(?P<premise>(?:大|小)?前提(?:[一二三四1-9])?\s*[:：]\s*)|(?P<conclusion>(?:结论|问题|问|推论)\s*[:：]\s*))"
)
_CAN = (
    r"(?:我们|你|人们)?(?:是否|能否|能不能|可否|可不可以|是不是)?(?:就|也|便)?(?:可以|能够|能|可)?"
    r"(?:由此|从中|据此|从而|因此|必然|就)?(?:可以|能够|能|可)?"
)
_DRAW = (
    r"(?:得出|推出|推断出?|断定|推导出?|推论出?|推知|推理出|得到|下结论说?|认为|说|知道|判断)"
    r"(?:结论|如下结论|这样的结论|这个结论|以下结论|说)?"
)
CONCLUSION_OPENER = re.compile(
    rf"^(?:请问|因此|所以|那么|故|因而|于是|从而|可见|由此可见|由此可知|由此|据此|综上所述|综上|总之|这意味着|这说明|结论是|结论为|说明|则|就|必然|一定|这样|这表明|"
    rf"换句话说|是否|是不是|{_CAN}{_DRAW})[，,:：]?"
)
CONCLUSION_SUFFIX = re.compile(
    r"(?:的结论|这一结论|这个结论|这样的结论|是(?:正确|成立|真|对)的|(?:一定|必然)?成立|是真的)$"
)
QUESTION_SUFFIX = re.compile(
    r"(?:[，,]?(?:对吗|对不对|是吗|是不是|对么|正确吗|是否正确|是否成立|成立吗|这对吗|这样对吗|这正确吗|可以吗|行吗)|吗|么|呢)$"
)
MID_CONCLUSION = re.compile(r"(?:因此|所以|因而|由此可见|从而|那么)")
JOINERS = re.compile(r"并且|而且|同时|以及|且|而|但是|但")
IF = re.compile(r"^(?:如果说?|假如|倘若|若是?|要是)")
OPEN_QUESTION = re.compile(
    r"^(?:那么|因此|所以|由此|从中|据此|从这些前提|根据这些前提|根据以上前提|请问|我们|你|，|,)*(?:能够?|可以|可|会)?(?:由此|从中|据此)?(?:得出|推出|推断出|"
    r"推论出|得到)(?:了)?(?:什么|哪些|怎样的|什么样的)(?:结论)?$|^(?:结论是什么|有什么结论|什么结论成立|会怎样)$"
)
ASIDE = re.compile(
    r"^(?:请|你|您|并|并且|和|与|以及|简要|简单|详细|仔细|一步一步|一步步|逐步|地|来|的|，|,|解释|说明|给出|回答|分析|描述|思考|推理|论证|"
    r"一下|理由|原因|过程|步骤|答案|为什么|推论|判断|是否|有效|无效|正确|成立|这个|这一|该|以下|上述|论证|三段论|结论|下列|合理|推断|命题|问题|吗|能否|推出|或|是|否|对|错|"
    r"考虑|阅读|下面|如下|前提|从|中|根据|逻辑|在|上)+$"
)
NAMES = frozenset(
    """
    苏格拉底 柏拉图 亚里士多德 孔子 孟子 老子 庄子 牛顿 爱因斯坦 达尔文 伽利略 笛卡尔 康德 黑格尔 马克思 鲁迅
    李白 杜甫 秦始皇
    张三 李四 王五 赵六 小明 小红 小华 小李 小王 小张 小刚 小芳 小丽 小强 小美 小兰 小军 小林 小陈
    约翰 玛丽 汤姆 杰克 彼得
    露西 莉莉 鲍勃 爱丽丝 大卫 迈克 北京 上海 中国 美国 日本 法国 英国 巴黎 伦敦 东京 地球 月球 太阳 火星 金星 长江 黄河
    """.split()
)
NAME_SHAPE = re.compile(r"[A-Za-z·]+$|[\u4e00-\u9fff]+·[\u4e00-\u9fff·]+$")
