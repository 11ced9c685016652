"""What every model run took and cost, in one SQLite file. No prompt text unless asked for.

    LLAMA70B_LEDGER=usage.sqlite3 python app.py       # every client of the process writes a row a run
    llama70b usage                                    # tables of it

Money is in nanodollars and time in nanoseconds, both integers, so that sums are exact.
"""

from llama70b.ledger._context import Attribution, attributed, attribution
from llama70b.ledger._default import default_path, default_recorder, environment_recorder, ledger_path
from llama70b.ledger._export import FORMATS, export
from llama70b.ledger._guard import BudgetGuard
from llama70b.ledger._recorder import LedgerRecorder, PriceOf, Recorders, row_of
from llama70b.ledger._rows import NS, Bill, Decision, Drops, Interval, Row, UsageSource
from llama70b.ledger._store import Ledger

__all__ = [
    "FORMATS",
    "NS",
    "Attribution",
    "Bill",
    "BudgetGuard",
    "Decision",
    "Drops",
    "Interval",
    "Ledger",
    "LedgerRecorder",
    "PriceOf",
    "Recorders",
    "Row",
    "UsageSource",
    "attributed",
    "attribution",
    "default_path",
    "default_recorder",
    "environment_recorder",
    "export",
    "ledger_path",
    "row_of",
]
