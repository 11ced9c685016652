"""Measure how well models and agents judge syllogisms: items, arms, a resumable runner, statistics, report.

The command line is `llama70b syllogism eval`; docs/evaluation.md explains it. Statistics and plots need the extra
`[report]`, which is imported only when a report is written.
"""

from llama70b.evaluation._answers import Judgement, read_answer
from llama70b.evaluation._arms import ARMS, AgentTurn, ArmInfo, AskAgent, Outcome, adapter_fields
from llama70b.evaluation._generate import generate
from llama70b.evaluation._items import Design, Item, dump_items, load_items
from llama70b.evaluation._journal import NO_ENDPOINT, Journal, Record, Run, load_records, load_run, open_run
from llama70b.evaluation._run import EvaluationStopped, Lane, plan, run
from llama70b.evaluation._settings import Settings

__all__ = [
    "ARMS",
    "NO_ENDPOINT",
    "AgentTurn",
    "ArmInfo",
    "AskAgent",
    "Design",
    "EvaluationStopped",
    "Item",
    "Journal",
    "Judgement",
    "Lane",
    "Outcome",
    "Record",
    "Run",
    "Settings",
    "adapter_fields",
    "dump_items",
    "generate",
    "load_items",
    "load_records",
    "load_run",
    "open_run",
    "plan",
    "read_answer",
    "run",
]
