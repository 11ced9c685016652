"""A conformance suite for LlamaIndex `LLM` classes that call OpenAI-compatible servers; any class, not only ours.

    # test_my_llm.py
    from llamaindex_llama70b.testing import LLMConformance

    class TestMyLLM(LLMConformance):
        def make_llm(self, base_url, api_key, **options):
            return MyLLM(api_base=base_url, api_key=api_key, **options)

`pytest test_my_llm.py` then runs every behaviour against a scripted server that counts real Llama 3.3 tokens. A test's
name is the behaviour's stable id, its docstring says it; most run twice, `[sync]` and `[async]`. `LLMLiveConformance`
does the same against a server that is running.

Needs `pip install "llama70b[llamaindex,testing]"`. Nothing else of this package imports it.
"""

try:
    import pytest
except ImportError as error:
    raise ImportError("llamaindex_llama70b.testing needs pytest: pip install 'llama70b[llamaindex,testing]'") from error

_PARTS = (
    "answers",
    "arguments",
    "tools",
    "structured",
    "events",
    "faults",
    "life",
    "programs",
    "agents",
    "live",
    "live_output",
)
pytest.register_assert_rewrite(*(f"{__name__}._{part}" for part in _PARTS))

from llamaindex_llama70b.testing._agents import Agents  # noqa: E402 - after its assertions are registered
from llamaindex_llama70b.testing._answers import Answers  # noqa: E402
from llamaindex_llama70b.testing._arguments import Arguments  # noqa: E402
from llamaindex_llama70b.testing._embedding import WordEmbedding  # noqa: E402
from llamaindex_llama70b.testing._events import Events  # noqa: E402
from llamaindex_llama70b.testing._faults import Faults  # noqa: E402
from llamaindex_llama70b.testing._life import Life  # noqa: E402
from llamaindex_llama70b.testing._live import LiveAnswers  # noqa: E402
from llamaindex_llama70b.testing._live_output import LiveOutput, LivePrograms  # noqa: E402
from llamaindex_llama70b.testing._programs import Programs  # noqa: E402
from llamaindex_llama70b.testing._structured import Structured  # noqa: E402
from llamaindex_llama70b.testing._tools import Tools  # noqa: E402


class LLMConformance(Answers, Arguments, Tools, Structured, Events, Faults, Life, Programs, Agents):
    """Every deterministic behaviour; derive from it, name the class `Test...`, and say `make_llm`."""


class LLMLiveConformance(LiveAnswers, LiveOutput, LivePrograms):
    """Every live behaviour; derive from it, say `make_llm`, and set LLM_CONFORMANCE_URL, _KEY and _MODEL."""


__all__ = ["LLMConformance", "LLMLiveConformance", "WordEmbedding"]
