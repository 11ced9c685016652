"""A model and the exact checker together, without a framework: tools, the verdict lock, the reader of free text.

The agents of `langchain_llama70b` and `llamaindex_llama70b` are thin shells around these pieces.
"""

from llama70b.reasoning.assisted import (
    AssistedResult,
    ModelReading,
    acheck_assisted,
    acompleter,
    check_assisted,
    completer,
)
from llama70b.reasoning.lock import Agreement, Answer, Decision, decide, lock
from llama70b.reasoning.prompts import SYSTEM_PROMPT
from llama70b.reasoning.stance import Claim, Stance, StanceReading, read_stance
from llama70b.reasoning.tools import TOOLS, ToolDefinition, call_tool, constrained, for_model

__all__ = [
    "SYSTEM_PROMPT",
    "TOOLS",
    "Agreement",
    "Answer",
    "AssistedResult",
    "Claim",
    "Decision",
    "ModelReading",
    "Stance",
    "StanceReading",
    "ToolDefinition",
    "acheck_assisted",
    "acompleter",
    "call_tool",
    "check_assisted",
    "completer",
    "constrained",
    "decide",
    "for_model",
    "lock",
    "read_stance",
]
