"""Roles of clauses in a text: the marker tables of English and Chinese. Data only.

A pattern is matched case-insensitively; one space stands for any white space.
"""

from __future__ import annotations

import re

from llama70b.syllogism._parse import logical_lines

_ADV = (
    r"(?:(?:then|therefore|thus|hence|also|validly|logically|safely|correctly|reasonably|legitimately|"
    r"rightly|necessarily|definitely|always|certainly|surely|now|indeed|strictly|truly|really|ever|"
    r"so) )*"
)
_FROM = (
    r"(?:,?\s*(?:from|based on|given|in light of|on the basis of|using|by) (?:only )?(?:this|that|it|"
    r"them|these|all this|all of this|all of these|the above|these facts|the above facts|(?:the |"
    r"these |this |those |both |all )*(?:two |given |above |following |preceding )*(?:premises|"
    r"premise|statements|statement|facts|sentences|information|assumptions|propositions))(?: "
    r"alone)?,?\s*)?"
)
_CONCLUDE = (
    r"(?:conclude|infer|deduce|say|derive|determine|state|gather|assert|claim|be sure|be certain|know|"
    r"reason|surmise|see|draw the conclusion|make the inference|reach the conclusion|come to the "
    r"conclusion|arrive at the conclusion)(?: for (?:certain|sure)| with certainty)?"
)
_CONCLUDED = r"(?:concluded|inferred|deduced|said|derived|determined|stated|claimed|reasoned|surmised)"


_MACROS = (
    ("ADV ", _ADV),
    (" FROM ?", _FROM + r"\s*"),
    ("FROM ?", _FROM + r"\s*"),
    (" PAR ", r"(?:,? (?:then|therefore|thus|hence|consequently|accordingly|logically|of course|in turn),?)? "),
    ("CONCLUDED", _CONCLUDED),
    ("CONCLUDE", _CONCLUDE),
)


def _alternatives(rows: str) -> str:
    joined = "|".join(logical_lines(rows))
    for name, value in _MACROS:
        joined = joined.replace(name, value)
    return joined.replace(" ", r"\s+")


def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


_CONCLUSION_ROWS = """
    ADV it ADV (?:must |would |will |does )?(?:follows|follow) PAR that
    ADV it ADV (?:must |would |will |does )?(?:follows|follow) ADV (?:from this |as a (?:result|consequence) |
      logically |necessarily )*FROM ?that
    from (?:this|that|which|these|these two|these premises|these facts|these statements|the above|it|
      the premises|these two premises|all this)(?: alone)?,? it ADV follows ADV that
    from (?:this|that|which|these|these two|these premises|these facts|these statements|the above|it|
      the premises|all this)(?: alone)?,? (?:we|one|you|i) (?:can|may|could|must) ADV CONCLUDE that
    from (?:this|that|which|these|these two|these premises|these facts|these statements|the above|it|
      the premises|all this),? it (?:can|may|could|must) be ADV CONCLUDED that
    (?:we|one|you|i|it) (?:can|may|could|must|are able to|are led to|have to|are forced to|are compelled to|
      are bound to|should) ADV CONCLUDE PAR that
    (?:we|one|you|i|it) (?:can|may|could|must|are able to|are led to|have to) ADV CONCLUDE FROM ?that
    (?:we|one|i|you) ADV (?:conclude|infer|deduce) that
    (?:it|this) (?:can|may|could|must) ADV be ADV CONCLUDED FROM ?that
    it (?:must|has to) ADV be (?:(?:true|the case|so|correct|a fact) )?that
    it stands to reason that
    it is ADV (?:logical|reasonable|valid|correct|safe) to (?:conclude|infer|deduce|say) that
    it is ADV (?:therefore|thus|hence|then|consequently|necessarily|logically) (?:true|the case|clear|certain|
      correct|a fact|evident|obvious|right|valid)(?: to (?:say|conclude))? that
    (?:this|that|which|it|all this|all of this|these facts|these premises|these statements|the premises|
      the above|this information) (?:would |must |will )?ADV (?:means|implies|entails|shows|
      proves|demonstrates|establishes|indicates|mean|imply|entail|show|prove|leads? (?:us )?to the conclusion|
      leads? us to conclude|
      allows? us to conclude|lets us conclude|suggests) ADV (?:that|:)?
    (?:the|a|one|our|my|its) (?:only )?(?:logical |valid |inevitable |necessary |natural |inescapable |
      final )*(?:conclusion|consequence|inference|result|upshot) (?:is|would be|must be|that follows is|
      from this is|here is)(?: that| :|:|,)?
    (?:this|which) is (?:why|the reason)
    that is why
    ∴|=>|⇒|→|-->|therefore|hence|thus|so|then|ergo|consequently|accordingly|thereby|thusly|whence|wherefore
    (?:logically|naturally|necessarily|inevitably|from this|subsequently|as such|that said|this being so|
      this being the case|that being the case|that being so)(?=[,:])
    in conclusion|to conclude|in consequence|as a result|as a consequence|as a logical consequence|
      as a logical result|for this reason|for that reason|for these reasons|because of this|due to this|
      given this|given that information|based on this|based on these premises|on this basis|by implication|
      in sum|all in all|in summary|by necessity|of necessity|by logical necessity|it follows logically|
      given these facts|based on these facts|given these premises|based on the above|in light of this
"""
_ALSO_SAID = (
    r"(?!(?:we|one|you|i|it)\s+(?:can|may|could|might)\s+also\s+(?:be\s+)?(?:say|said|state|stated|note|noted|observe|"
    r"observed|see|seen|add|added|claim|claimed|assert|asserted|mention|mentioned)\b)"
)
"""What is "also" said is one more premise."""
DRAWN = _compile(
    r"\b(?:therefore|thus|hence|so|then|ergo|follows?|conclu\w*|infer\w*|deduc\w*|deriv\w*|consequen\w*|accordingly|"
    r"means?|impl(?:y|ies)|entails?|results?|reasons?|shows?|proves?|why|necessar\w*|necessity|given|based|from)\b"
)
"""Words that only open a conclusion; "we can say that" and "it must be that" may open a premise too."""
CONCLUSION_OPENER = _compile(
    _ALSO_SAID
    + r"(?:and |but )?(?:".replace(" ", r"\s+")
    + _alternatives(_CONCLUSION_ROWS)
    + r")(?:(?=[\s,:])|(?<=\s))[\s,:]*"
)
CONCLUSION_INNER = _compile(
    r"(?:\s*[,;:]\s*(?:and\s+|or\s+)?|\s+and\s+|\s+)(?P<mark>(?:"
    + _alternatives(_CONCLUSION_ROWS)
    + r")(?:(?=[\s,:])|(?<=\s))[\s,:]*)"
)
IMPLY_INNER = _compile(
    r"[\s,\"]*\s(?:together\s+|jointly\s+)?(?:imply|implies|entail|entails|means?|guarantees?)\s+(?:that\s+)?"
)
THEN_INNER = _compile(r"\s*,?\s*\bthen,?\s+(?=\S)")

_PREMISE_ROWS = """
    given the fact that|given that|since|because|seeing that|seeing as|in view of the fact that|knowing that|
      considering that|due to the fact that|owing to the fact that|on the grounds that|
      in light of the fact that|inasmuch as|for the reason that
    given(?= (?:all|every|each|any|no|none|some|not)\\b)
    (?:imagine|suppose|consider|assume|picture) (?:a|some) (?:world|universe|place|planet|land) (?:where|in which)
    (?:let us |let's |let me |please |now |we )*(?:suppose|assume|assuming|supposing|imagine|
      consider)(?: for a moment| further| also| for the sake of argument)*(?: that|:)?
    (?:we|you|i) (?:also )?(?:are|know|have been|were) (?:also )?(?:given|told|given the information)?(?: that)
    (?:we|one|you|i) (?:can|may|could|might) also (?:say|state|note|observe|see|add|claim|assert|mention) that
    it (?:can|may|could|might) also be (?:said|stated|noted|observed|seen|added|claimed|asserted|mentioned) that
    it is (?:also )?(?:given|assumed|supposed|known|stated|a given) that
    (?:the|one|another|my|our|a) (?:first |second |third |other |major |minor |1st |2nd )?premise (?:is|states|says|
      holds|tells us) that
    moreover|furthermore|additionally|in addition|in addition to this|meanwhile|nonetheless|nevertheless|also|
      and|but|while|whereas|although|though|moreover it is also true that|what is more|what's more|note that|
      notice that|recall that|remember that|observe that|of course|in fact|indeed|it is also true that
"""
_PREMISE_ADVERBS = """
    hypothetically|besides|besides this|however|likewise|similarly|at the same time|on the other hand|further|again|
      next|finally|lastly|firstly|secondly|thirdly|first of all|first|second|third|to begin with|still|yet|now|plus|
      too|conversely|by contrast|in contrast|on top of that|beyond that|as it happens|to start|to start with|
      in the first place|for one thing|for starters|well|okay|ok|on the contrary|for example|for instance
"""
"""Markers only when a comma or colon follows: "first, ..." but "first graders"."""
PREMISE_OPENER = _compile(
    r"(?:(?:"
    + _alternatives(_PREMISE_ROWS)
    + r")(?=[\s,:])|(?:"
    + _alternatives(_PREMISE_ADVERBS)
    + r")(?=\s*[,:]))[\s,:]*"
)
IF_OPENER = _compile(
    r"(?:and\s+)?if\s+(?:it\s+is\s+(?:true|the\s+case|a\s+fact)\s+that\s+|we\s+(?:know|assume|suppose|"
    r"accept|are\s+told)\s+that\s+)?"
)
SINCE_OPENER = _compile(
    r"(?:(?:given|from|assuming)\s+(?:that\s+)?(?:only\s+)?(?:the\s+|these\s+|both\s+)?(?:following\s+|two\s+)*"
    r"(?:premises|facts|statements|propositions|assumptions)(?:\s+that|\s*:)?|since|because|as|given\s+that|given\s+the\s+fact\s+that|given|seeing\s+that|"
    r"considering\s+that|knowing\s+that|assuming(?:\s+that)?|supposing(?:\s+that)?|"
    r"suppose(?:\s+that)?|assume(?:\s+that)?|in\s+light\s+of\s+the\s+fact\s+that|"
    r"from\s+the\s+fact\s+that|from\s+the\s+premises\s+that|from)\s+"
)
BECAUSE_INNER = _compile(
    r"\s*,?\s+(?:because|since|as|for|given\s+that|given\s+the\s+fact\s+that|seeing\s+that|"
    r"due\s+to\s+the\s+fact\s+that|considering\s+that|inasmuch\s+as|on\s+the\s+grounds\s+that|"
    r"follows\s+from\s+the\s+fact\s+that|(?P<if>if))\s+"
)
LIST_INNER = _compile(
    r"\s*[,;]\s*(?:(?:and|but|while|whereas|yet|although|though|plus)\s+)?(?:also\s+)?(?:that\s+)?|\s+(?:and|but|"
    r"while|whereas|although|though|yet|plus|as\s+well\s+as)\s+(?:also\s+|that\s+|since\s+|because\s+|"
    r"given\s+that\s+|if\s+)*"
)

QUESTION = _compile(
    _alternatives(
        """
        (?:can|could|may|should|would|might) (?:we|you|one|i|somebody|someone) ADV CONCLUDE FROM ?(?:that|:)
        (?:can|could|may) it ADV be ADV CONCLUDED FROM ?(?:that|:)
        (?:does|would|will) it ADV follow ADV FROM ?(?:that|:)
        does it ADV follow as a (?:matter of logic|logical consequence|consequence) that
        is it ADV (?:true|the case|correct|valid|right|certain|guaranteed|safe|logical|accurate|sound|
          legitimate|reasonable|a valid conclusion|a valid inference|logically valid|logically true|
          logically correct|a fact|possible to conclude|fair)(?: to (?:say|conclude|infer|deduce|state|claim|
          assume|assert))? FROM ?(?:that|:)
        (?:does|do|would) (?:this|that|it|the above|the argument|these|they|the premises|these premises|
          these facts|these statements|these two statements|the statements|the two premises|the information|
          this information) ADV (?:mean|imply|entail|prove|show|guarantee|establish|support the conclusion|
          lead to the conclusion|let us conclude|allow us to conclude|justify the conclusion|
          warrant the conclusion) ADV (?:that|:)?
        must it ADV be (?:true|the case) that
        would it ADV be (?:correct|right|valid|true|accurate|logical|sound|fair) to (?:say|conclude|infer|
          deduce|claim) that
        are we (?:justified in|right in|correct in|entitled to|allowed to|right to|able to) (?:concluding|
          conclude|inferring|infer) that
        is the (?:following )?(?:conclusion|statement|claim|inference|sentence)(?: logically)? (?:valid|true|
          correct|sound) ?:
        does the following (?:conclusion |statement |claim )?(?:logically |necessarily )*follow FROM ?:
        (?:please )?(?:determine|decide|state|say|check|judge|evaluate|assess|tell me|figure out) (?:whether|
          if) (?:it ADV follows that|we (?:can|may) (?:logically |validly )*(?:conclude|infer) that|
          it can be (?:logically |validly )*(?:concluded|inferred) that|it is (?:logically |
          necessarily )*true that|the (?:statement|conclusion|claim) that)
        """
    )
    + r"[\s,:]*"
)
"""A question about what follows; what stands before it are premises, what stands behind it is the conclusion."""

FOLLOWS_QUESTION = _compile(
    r"(?:does|would)\s+(?:the\s+(?:conclusion|statement|"
    r"claim)\s+(?:that\s+)?)?(?P<X>.+?)\s+(?:logically\s+|necessarily\s+)*follow(?:\s+(?:logically|"
    r"necessarily))?(?:\s+from\s+(?:(?!\b(?:all|no|some|every|not)\b).)*)?$"
)
CONCLUSION_QUESTION = _compile(
    r"(?:is|can)\s+the\s+(?:conclusion|statement|claim|"
    r"inference)\s+that\s+(?P<X>.+?)\s+(?:(?:logically\s+)?(?:valid|true|correct|sound|justified|"
    r"warranted)|be\s+(?:drawn|inferred|deduced|made|derived))(?:\s+from\s+.*)?$"
)
FOLLOWS_FROM_QUESTION = _compile(
    r"(?:does|would)\s+it\s+(?:logically\s+|necessarily\s+|then\s+)*follow\s+(?:logically\s+|"
    r"necessarily\s+)*from\s+(?:the\s+(?:premises|statements|"
    r"facts)\s+(?:that\s+)?)?(?P<P>.+?),?\s+that\s+(?P<X>.+)$"
)
FOLLOW_FROM_QUOTED = _compile(
    r"(?:does|would)\s+(?:the\s+(?:conclusion|statement|claim)\s+(?:that\s+)?)?(?P<X>.+?)\s+(?:logically\s+|"
    r"necessarily\s+)*follow\s+(?:logically\s+)?from\s+(?:the\s+(?:two\s+)?(?:premises|statements|facts)\s+(?:that\s+)?)?"
    r"(?P<P>.+)$"
)
CONCLUDE_FROM_QUESTION = _compile(
    r"is\s+it\s+(?:\w+\s+){0,3}to\s+(?:conclude|infer|deduce)\s+(?:that\s+)?(?P<X>.+?)\s+from\s+(?P<P>.+)$"
)
IMPLY_QUESTION = _compile(
    r"(?:do|does|would|can)\s+(?:the\s+(?:two\s+)?(?:premises|statements|facts|propositions|fact|"
    r"premise|statement|claims)\s+(?:that\s+)?)?(?P<P>.+?)\s+(?:together\s+|logically\s+|jointly\s+|"
    r"necessarily\s+)*(?:imply|entail|mean|prove|guarantee|establish)\s+(?:that\s+)?(?P<X>.+)$"
)
GIVEN_INNER = _compile(
    r"\s*,?\s+(?:given\s+that|given\s+the\s+fact\s+that|if|given|since|because|assuming\s+that|"
    r"assuming|supposing\s+that)\s+"
)
HEADING = re.compile(r"[^:\n]{1,120}:\s*")
TITLE = _compile(
    r"(?:the\s+(?:premises|facts|conclusion|statements)\s+(?:are|is)(?:\s+as\s+follows)?\s*:\s*)|(?:[\w']+\s+){0,6}(?:arguments?(?:\s+is|\s+are)?|syllogism(?:\s+is)?|puzzle|problem|exercise|riddle|reasoning|example|scenario|passage|text(?:\s+is)?|"
    r"argues(?:\s+as\s+follows|\s+that)?|reasons(?:\s+as\s+follows|\s+that)?|says|claims|(?:as\s+)?follows|"
    r"following(?:\s+(?:facts|premises|statements|argument|syllogism|sentences|information))?|given|facts|premises|"
    r"statements)\s*:\s*"
)
"""A heading that announces the argument; words of quantity in it would make it a statement."""
_QUANTIFYING = frozenset("all every each no none some any most few many only not if".split())
ANNOUNCEMENT = _compile(
    r"(?:here\s+(?:is|are)|i\s+have|there\s+are|we\s+have|you\s+have|you\s+are\s+given|i\s+am\s+given|we\s+are\s+given|"
    r"consider|take|suppose|look\s+at|read)\s+(?:an?|the|this|these|two|three|four|some|following|my|\s)+"
    r"(?:logical\s+|simple\s+|short\s+|following\s+)*(?:facts|premises|statements|argument|arguments|syllogism|"
    r"sentences|propositions|puzzle|problem|reasoning|claims)(?:\s+(?:below|for\s+you|to\s+check|to\s+consider))?|"
    r"let(?:'s|\s+us)\s+(?:see|think|consider\s+this|begin|start)|"
    r"(?:assume|given|using|consider|take|with|from)\s+(?:only\s+)?(?:the|these)\s+(?:following\s+|given\s+|two\s+)*(?:facts|"
    r"premises|statements|assumptions|sentences)|"
    r"you\s+are\s+an?\s+(?:\w+\s+){0,4}(?:logician|expert|assistant|professor|teacher|student|reasoner|philosopher)"
    r"(?:\s+(?:in|of|for)\s+(?:formal\s+|classical\s+)?(?:logic|reasoning))?|"
    r"(?:argument|syllogism|example|item|question|problem|exercise|puzzle)\s*#?\s*(?:\d{1,3}|[a-z])|"
    r"(?:(?:hey|hi|hello|ok|okay|so|well)\s*[,!]?\s*)?(?:an?\s+)?(?:quick|simple|short|little|logic|logical)\s+"
    r"(?:question|puzzle|one)(?:\s+for\s+you)?|(?:hey|hi|hello)(?:\s+there)?|"
    r"\(?(?:(?:valid|invalid|true|false|yes|no|correct|incorrect|or)[\s/,|]*){2,}\)?"
)
"""A sentence that only says that an argument comes."""
_CONCLUSION_HEADINGS = frozenset(
    "prove true false valid whether conclusion follow follows show conclude verify check".split()
)
DIRECT_QUESTION_INNER = _compile(r"\s*,\s*(?:then\s+|and\s+|so\s+)?(?=(?:is|are|do|does|can|must|would)\s)")
DIRECT_QUESTION_START = _compile(
    r"(?:so\s+|then\s+|therefore\s+|thus\s+|hence\s+|and\s+|now\s*)*[,\s]*(?=(?:is|are|do|does|can|must|would)\s)"
)
TAG_QUESTION = _compile(
    r"\s*,?\s*(?:(?:is\s+(?:this|that|it)\s+)?(?:right|correct|true|valid|yes|no|true\s+or\s+false|"
    r"yes\s+or\s+no|valid\s+or\s+invalid)|does\s+(?:that|this|it)\s+follow|isn't\s+(?:it|that\s+so|"
    r"that\s+right)|do\s+you\s+agree)\s*\?*\s*$"
)

LABEL = _compile(
    r"(?:[-*\u2022\u00b7>]+\s+|\(?(?:\d{1,3}|[ivx]{1,4}|[a-z])[.):]+\s+|\(?\d{1,3}\)\s*)|"
    r"(?:\**\s*(?P<premise>(?:major|minor|first|second|third|1st|2nd)?\s*(?:premises?|givens?|facts?|"
    r"statements?|rules?|assumptions?|axioms?|context|information|background|argument|syllogism|"
    r"passage|p)\s*(?:#?\s*(?:\d{1,3}|[a-d]|one|two|three|i{1,3}))?)\s*\**\s*[:.)\-\u2013]+\**\s*)|"
    r"(?:\**\s*(?P<conclusion>(?:proposed\s+|candidate\s+|final\s+)?(?:conclusions?|hypothes[ie]s|"
    r"claims?|thesis|inference|conclude|query|question|q|c|"
    r"conjecture)\s*(?:\d{1,3})?)\s*\**\s*[:.)\-\u2013]+\**\s*)"
)
_WORD = re.compile(r"[a-z']+")
_IMPERATIVES = frozenset(
    """explain answer justify show give provide think please describe respond discuss state reason elaborate tell let
    why be use consider read determine decide evaluate assess say choose select write keep support prove verify check
    analyze analyse identify judge work walk briefly and in yes true how here solve start begin first assume label
    classify return output using based imagine suppose let's look assuming given test examine""".split()
)
_INSTRUCTION_WORDS = frozenset(
    """explain answer justify show give provide think please describe respond discuss state reason reasons reasoning
    elaborate tell let let's why be use consider read determine decide evaluate assess say choose select write keep
    support prove verify check analyze analyse identify judge work walk briefly and in yes true your you the a an of it
    is or no not false valid invalid step steps by logic logical logically logician answer answers conclusion
    conclusions argument arguments syllogism syllogisms premise premises following follows follow from whether if me us
    how for with to this that these those given detail detailed details short brief clear clearly concise concisely
    carefully explanation explanations justification response sentence sentences words word only one single each every
    all thought thoughts thinking process correct incorrect right wrong question problem below above as set up do does
    can cannot can't could must be made drawn valid validity soundness sound out through then before after first final
    finally own using rules formal any other choose between option options what which so on true entailed contradicted
    undetermined statement statements fact facts two three about are assume classes class have least member members
    non-empty nonempty traditional modern existential import here there i'm i will would like need want
    solve start begin label classify return output language english simple plain terms term he she they my friend
    necessarily information test examine only based imagine suppose look given assuming must logical-validity whichever
    truth value deductively deductive validly together alone task below's your's itself argues reasons says reasoned
    argued mean agree you good bad verdict last sound logician expert overall""".split()
)
_META_STARTS = frozenset(
    "is does do are can could should would what which how true valid invalid yes so based given from therefore must "
    "correct right sound which".split()
)
_OPEN_VOCABULARY = frozenset(
    "what which anything conclude concluded infer inferred deduce deduced we drawn draw necessarily else them".split()
)
_OWNER = re.compile(r"\b[A-Z][a-z]+'s\b")
"""A name in "Is Tom's argument valid?"; words of quantity are no names."""
_OPEN_WORDS = frozenset({"what", "which", "anything"})


def is_instruction(text: str) -> bool:
    """Whether a sentence only tells the reader how to answer: a closed vocabulary, opened by an imperative."""
    if ANNOUNCEMENT.fullmatch(text.strip()):
        return True
    words = _WORD.findall(text.lower())
    return bool(words) and words[0] in _IMPERATIVES and set(words) <= _INSTRUCTION_WORDS


def heading_role(text: str) -> str | None:
    """Return the role that an instruction before a colon gives to what follows, ``None`` if it is no such heading."""
    words = set(_WORD.findall(text.lower()))
    if not (is_instruction(text) or is_meta_question(text)):
        return "plain" if TITLE.fullmatch(text) and not words & _QUANTIFYING else None
    if words & {"argument", "arguments", "syllogism", "premises", "facts", "statements", "reasoning", "validity"}:
        return "plain"
    return "conclusion" if words & _CONCLUSION_HEADINGS else "plain"


def is_meta_question(text: str) -> bool:
    """Whether a sentence only asks whether the argument is valid, without naming its conclusion."""
    words = _WORD.findall(_OWNER.sub("the", text).lower())
    return bool(words) and words[0] in _META_STARTS and set(words) <= _INSTRUCTION_WORDS


def is_open_question(text: str) -> bool:
    """Whether a sentence asks what follows."""
    words = _WORD.findall(re.sub(r"\s+about\s.*", "", text.lower()))
    allowed = _INSTRUCTION_WORDS | _OPEN_VOCABULARY
    return bool(words) and bool(_OPEN_WORDS & set(words)) and set(words) <= allowed


SENTENCE_END = re.compile(
    r"(?<!\bMr)(?<!\bMrs)(?<!\bDr)(?<!\bSt)(?<!\bProf)(?<!\bvs)(?<!\be\.g)(?<!\bi\.e)[.!?;]+[\"')\]]*(?=\s|"
    r"$)|[。！？；]+[”’」』）]*|\n+"
)
BARE_LABEL = re.compile(r"\(?(?:\d{1,3}|[A-Za-z]|[ivx]{1,4}|[Pp]\d)$")
