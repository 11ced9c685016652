"""Exact reasoning with categorical statements: reader, checker, explanation. Pure, standard library only.

`check_argument` goes the whole way from English or Chinese text to an explained verdict; `read_argument` and `check`
are its two halves. What cannot be read for certain is refused, never guessed.

Example:
    >>> result = check_argument("All men are mortal. Socrates is a man. Therefore, Socrates is mortal.")
    >>> result.verdict, result.form
    ('entailed', 'Barbara')
"""

from llama70b.syllogism._argument import ArgumentResult, ArgumentVerdict, check_argument
from llama70b.syllogism._check import check, conclusions
from llama70b.syllogism._kinds import Import, Language, Quantifier, Reason, TermKind, Verdict
from llama70b.syllogism._reader import read_argument, read_sentences, read_statement, spans
from llama70b.syllogism._reading import Reading, Refusal, RefusedSpan, SentenceReading
from llama70b.syllogism._results import CheckResult, Individual, Model
from llama70b.syllogism._types import Statement, Term
from llama70b.syllogism._verbalise import statement_words as verbalise

__all__ = [
    "ArgumentResult",
    "ArgumentVerdict",
    "CheckResult",
    "Import",
    "Individual",
    "Language",
    "Model",
    "Quantifier",
    "Reading",
    "Reason",
    "Refusal",
    "RefusedSpan",
    "SentenceReading",
    "Statement",
    "Term",
    "TermKind",
    "Verdict",
    "check",
    "check_argument",
    "conclusions",
    "read_argument",
    "read_sentences",
    "read_statement",
    "spans",
    "verbalise",
]
