"""LlamaIndex settings that fit a small window: its defaults were made for larger ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llama_index.core import Settings
from llama_index.core.indices.prompt_helper import PromptHelper
from llama_index.core.llms.llm import LLM
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.node_parser import SentenceSplitter

REACT_STOP = ("\nObservation:",)
"""`Llama70B(stop=list(REACT_STOP))` keeps a model from inventing the results of `ReActAgent`'s tools, which passes no
stop words itself (https://github.com/run-llama/llama_index/issues/9472)."""

_ROOMY = 8192  # from here on LlamaIndex's own defaults fit
_INSTRUCTIONS = 256  # tokens of the prompts that chat engines and agents put around the rest


@dataclass(frozen=True, slots=True)
class RecommendedSettings:
    """What suits one model's window; all sizes in tokens.

    Attributes:
        context_window: As `llm.metadata` reports it: the server's, less the template reserve.
        num_output: Left for the answer.
        chunk_size: Of the pieces documents are split into.
        chunk_overlap: Between neighbours.
        similarity_top_k: Pieces to retrieve for a question; they fit a chat engine's prompt beside its memory.
        memory_token_limit: Of the conversation a chat engine or agent keeps.
    """

    context_window: int
    num_output: int
    chunk_size: int
    chunk_overlap: int
    similarity_top_k: int
    memory_token_limit: int

    def apply(self, llm: LLM | None = None) -> None:
        """Put these into `Settings`; also replaces its prompt helper, which keeps the window of an earlier model.

        Args:
            llm: Becomes `Settings.llm` too, if given.
        """
        if llm is not None:
            Settings.llm = llm
        Settings.node_parser = SentenceSplitter(chunk_size=self.chunk_size, chunk_overlap=self.chunk_overlap)
        Settings.prompt_helper = PromptHelper(context_window=self.context_window, num_output=self.num_output)


def recommended_settings(llm: LLM) -> RecommendedSettings:
    """Return settings with which index, chat engines and agents stay inside the model's window.

    For 4096 tokens: chunks of 512, two of them a question. The memory gets what is left after the answer, the retrieved
    chunks and 256 tokens of instructions.

    Args:
        llm: Usually `Llama70B`; any model with truthful metadata.
    """
    meta = llm.metadata
    output = meta.num_output if meta.num_output > 0 else _INSTRUCTIONS
    chunk, top_k = (1024, 4) if meta.context_window >= _ROOMY else (512, 2)
    if meta.context_window < 4 * chunk:
        chunk = max(64, meta.context_window // 8)
    memory = meta.context_window - output - top_k * chunk - _INSTRUCTIONS
    return RecommendedSettings(
        context_window=meta.context_window,
        num_output=output,
        chunk_size=chunk,
        chunk_overlap=chunk // 10,
        similarity_top_k=top_k,
        memory_token_limit=max(128, memory),
    )


def recommended_memory(llm: LLM, **kwargs: Any) -> ChatMemoryBuffer:
    """Return a conversation memory that leaves room for retrieved chunks and the answer.

    The defaults leave 256 tokens (chat engines), or keep up to 30,000 (`Memory.from_defaults()`).

    Args:
        llm: The model the conversation is with.
        **kwargs: For `ChatMemoryBuffer.from_defaults`; `token_limit` there wins.
    """
    limit = kwargs.pop("token_limit", recommended_settings(llm).memory_token_limit)
    memory: ChatMemoryBuffer = ChatMemoryBuffer.from_defaults(token_limit=limit, **kwargs)
    return memory
