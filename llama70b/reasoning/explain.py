"""The fixed way for models too small to call tools: read and check first, then the model only phrases the answer. Pure.

The chain of `langchain_llama70b` and the query engine of `llamaindex_llama70b` are thin shells around it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llama70b.reasoning.assisted import AssistedResult, summary_of
from llama70b.reasoning.lock import Answer, decide, headline, lock
from llama70b.reasoning.tools import for_model

if TYPE_CHECKING:
    from collections.abc import Mapping

EXPLAIN_PROMPT = """\
An exact checker has decided a question about a syllogism. Explain its result to the user in two to four sentences, in \
the language of the question. Do not judge the argument yourself and never give another verdict. entailed: the \
conclusion follows. contradicted: the premises rule it out. undetermined: it does not follow, but it is not shown to \
be false either. inconsistent_premises: the premises contradict each other. If there is a countermodel, use it."""


def explain_messages(text: str, checked: AssistedResult) -> list[dict[str, str]] | None:
    """Return what to ask the model once the checker has decided; None if nothing was decided.

    Args:
        text: The user's question.
        checked: What the checker says.
    """
    if checked.verdict == "refused":
        return None  # there is nothing to phrase, and a model would only guess
    told = for_model(summary_of(checked))
    return [
        {"role": "system", "content": EXPLAIN_PROMPT},
        {"role": "user", "content": f"Question: {text}\n\nChecker: {told}"},
    ]


def opening(text: str, checked: AssistedResult) -> str:
    """Return the line that gives the verdict, known before the model is asked."""
    return headline(decide(text, import_=checked.result.import_, assisted=summary_of(checked)))


def answer_of(text: str, checked: AssistedResult, said: str | None, usage: Mapping[str, int] | None = None) -> Answer:
    """Return the structured answer: the checker's verdict, with the model's words only where they agree with it.

    Args:
        text: The user's question.
        checked: What the checker says.
        said: The model's words; None if it was not asked.
        usage: Tokens of the model's answers.
    """
    told: dict[str, Any] = summary_of(checked)
    return lock(text, said or "", usage=usage, import_=checked.result.import_, assisted=told)
