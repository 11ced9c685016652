"""The answer in plain words, in the language of the question."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llama70b.syllogism._kinds import Language, Verdict
from llama70b.syllogism._reading import Reading, Refusal
from llama70b.syllogism._verbalise import statement_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llama70b.syllogism._results import CheckResult
    from llama70b.syllogism._types import Statement

_WORDS: dict[Language, dict[str, str]] = {
    "en": {
        "entailed": "Yes, it follows: {conclusion}",
        "contradicted": "No, the premises rule it out. It is false that {inside}",
        "undetermined": "No, it does not follow: {conclusion} The premises do not rule it out either; they leave it "
        "open.",
        "inconsistent_premises": "The premises contradict each other, so they settle nothing.",
        "case": "Suppose these are all the things there are: {countermodel}. Then every premise is true, and the "
        "conclusion is false.",
        "also": "In another case everything is true: {model}.",
        "import": "This takes for granted that {assumption}; otherwise the verdict is “{other}”.",
        "needed": "Only premise {numbers} is needed.",
        "needed_many": "Only premises {numbers} are needed.",
        "invalid": "The form is {form} (mood and figure), which is not among the valid ones.",
        "follows": "This follows: {list}",
        "nothing": "Nothing new follows from these premises about the classes they do not already relate.",
        "refused": "I decide nothing here, because part of it could not be read for certain. {spans}",
        "span": "“{text}”: {message}.",
        "read": "Read as: {sentences}",
    },
    "zh": {
        "entailed": "能推出：{conclusion}",
        "contradicted": "不能，前提排除了它。结论不成立：{conclusion}",
        "undetermined": "不能推出：{conclusion}前提也没有排除它，结论未定。",
        "inconsistent_premises": "前提互相矛盾，因此什么也不能说明。",
        "case": "假设世界上只有这些个体：{countermodel}。这时前提全真，而结论为假。",
        "also": "而在另一种情况下前提和结论都真：{model}。",
        "import": "这里默认{assumption}；否则结果是“{other}”。",
        "needed": "只需要前提{numbers}。",
        "needed_many": "只需要前提{numbers}。",
        "invalid": "它的式和格是{form}，不在有效式之中。",
        "follows": "能推出：{list}",
        "nothing": "从这些前提推不出新的结论。",
        "refused": "有内容不能确定读懂，因此不作判断。{spans}",
        "span": "“{text}”——{message}。",
        "read": "读作：{sentences}",
    },
}
_VERDICTS_ZH = {
    Verdict.ENTAILED: "能推出",
    Verdict.CONTRADICTED: "被排除",
    Verdict.UNDETERMINED: "未定",
    Verdict.INCONSISTENT_PREMISES: "前提矛盾",
}


def explain(
    read: Reading | Refusal,
    result: CheckResult | None,
    *,
    follows: Sequence[Statement] = (),
    inconsistent: bool = False,
) -> str:
    """Return the answer in plain words.

    Args:
        read: The reading, or the refusal.
        result: The checker's result, if a conclusion was decided.
        follows: What follows, if that was the question.
        inconsistent: The premises of such a question contradict each other.
    """
    words = _WORDS[read.language]
    gap = " " if read.language == "en" else ""
    if isinstance(read, Refusal):
        spans = gap.join(words["span"].format(text=span.text, message=span.message) for span in read.spans)
        return words["refused"].format(spans=spans)
    reading = words["read"].format(sentences=gap.join(read.words))
    if result is None:
        if inconsistent:
            return gap.join((words["inconsistent_premises"], reading))
        listed = gap.join(statement_words(statement) for statement in follows)
        return gap.join((words["follows"].format(list=listed) if follows else words["nothing"], reading))
    return gap.join((*_verdict(result, words), reading))


def _verdict(result: CheckResult, words: dict[str, str]) -> list[str]:
    language: Language = "zh" if words is _WORDS["zh"] else "en"
    conclusion = statement_words(result.conclusion)
    inside = conclusion if result.conclusion.subject.singular else conclusion[0].lower() + conclusion[1:]
    sentences = [words[result.verdict.value].format(conclusion=conclusion, inside=inside)]
    if result.verdict is Verdict.UNDETERMINED:
        assert result.countermodel is not None
        assert result.model is not None
        sentences.append(words["case"].format(countermodel=result.countermodel.words(language)))
        sentences.append(words["also"].format(model=result.model.words(language)))
        if result.form:
            sentences.append(words["invalid"].format(form=result.form))
    else:
        sentences.append(result.derivation)
        if result.needed_premises and len(result.needed_premises) < len(result.premises):
            numbers = ", ".join(str(position + 1) for position in result.needed_premises)
            key = "needed" if len(result.needed_premises) == 1 else "needed_many"
            sentences.append(words[key].format(numbers=numbers))
    if result.other_verdict is not None:
        other = result.other_verdict.value if language == "en" else _VERDICTS_ZH[result.other_verdict]
        sentences.extend(words["import"].format(assumption=text, other=other) for text in result.assumptions)
    return sentences
