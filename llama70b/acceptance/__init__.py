"""The acceptance tests of the original deployment as real checks, against any endpoint: `llama70b check`."""

from llama70b.acceptance._checks import CHECKS, ROSES, Check, Original
from llama70b.acceptance._results import Measured, Outcome, Report, printable, to_markdown
from llama70b.acceptance._run import run_checks

__all__ = [
    "CHECKS",
    "ROSES",
    "Check",
    "Measured",
    "Original",
    "Outcome",
    "Report",
    "printable",
    "run_checks",
    "to_markdown",
]
