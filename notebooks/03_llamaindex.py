# %% [markdown]
# # 3. LlamaIndex: answers from documents
#
# Load documents, index them with an embedding that runs on the CPU, and ask. Then a chat engine, citations, structured
# answers and an agent, all inside a window of 4096 tokens.
#
# ```bash
# pip install 'llama70b[llamaindex,local]' wordllama
# ```

# %%
import os

if not os.environ.get("LLAMA70B_BASE_URL"):  # no endpoint of yours: a small local engine
    from llama70b.local import LocalEngine

    engine = LocalEngine()
    here = engine.start()
    os.environ["LLAMA70B_BASE_URL"] = here.base_url
    os.environ["LLAMA70B_API_KEY"] = here.api_key.get_secret_value()
    os.environ["LLAMA70B_MODEL"] = here.model

# The local model is too small to decide by itself when to call a tool; further down it is told to.
tiny = "SmolLM" in os.environ.get("LLAMA70B_MODEL", "")

# %% [markdown]
# ## The model, and settings that fit it
#
# LlamaIndex's defaults were made for larger windows. `recommended_settings` reads the window from the server and says
# how large chunks, answer and memory can be so that everything fits together; `apply` puts that into `Settings`.

# %%
from llamaindex_llama70b import Llama70B, recommended_memory, recommended_settings

llm = Llama70B(temperature=0, max_tokens=48 if tiny else 256)
fits = recommended_settings(llm)
fits.apply(llm)
print(fits)
assert fits.similarity_top_k * fits.chunk_size + fits.memory_token_limit + fits.num_output < fits.context_window

# %% [markdown]
# ## An embedding without a download
#
# WordLlama (`pip install wordllama`) is a small static embedding (256 numbers a text, MIT licence) whose
# weights are inside its package. LlamaIndex asks for three methods; these are all.

# %%
import logging
from pathlib import Path

import wordllama
from llama_index.core import Settings
from llama_index.core.embeddings import BaseEmbedding

logging.getLogger().setLevel(logging.WARNING)  # the package turns everybody's INFO lines on
# Its loader would look for the tokenizer elsewhere: point it to the copy in the package.
weights = wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)


class WordLlamaEmbedding(BaseEmbedding):
    """Static word embeddings, averaged and normalised."""

    model_name: str = "wordllama-256"

    def _get_text_embedding(self, text: str) -> list[float]:
        return weights.embed(text, norm=True)[0].tolist()

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


Settings.embed_model = WordLlamaEmbedding()


def likeness(one: str, other: str) -> float:
    return weights.similarity(one, other)


print(f"{likeness('the ship sank', 'a boat went down'):.2f}  {likeness('the ship sank', 'a tax on income'):.2f}")
assert likeness("the ship sank", "a boat went down") > likeness("the ship sank", "a tax on income")

# %% [markdown]
# ## Load and index
#
# The documents are this repository's own pages.

# %%
from llama_index.core import Document, VectorStoreIndex

pages = ["reliability.md", "serving.md", "usage.md", "routing.md", "local-engine.md"]
documents = [
    Document(text=(Path("../docs") / page).read_text(encoding="utf-8"), metadata={"page": page}) for page in pages
]
index = VectorStoreIndex.from_documents(documents)
print(len(documents), "documents,", len(index.docstore.docs), "chunks")
assert len(index.docstore.docs) > len(documents)

# %% [markdown]
# Retrieval alone first: which chunks would be read for a question? No model is asked here.

# %%
question = "What does the local engine answer until its model is loaded?"
retriever = index.as_retriever(similarity_top_k=fits.similarity_top_k)
for found in retriever.retrieve(question):
    print(f"{found.score:.2f}  {found.metadata['page']:18} {found.text[:70]!r}")
assert "local-engine.md" in {found.metadata["page"] for found in retriever.retrieve(question)}

# %% [markdown]
# ## Ask
#
# A query engine puts the chunks and the question into a prompt. The answer comes with its sources.

# %%
query_engine = index.as_query_engine(similarity_top_k=fits.similarity_top_k)
answer = query_engine.query(question)
print(answer)
print("from", [node.metadata["page"] for node in answer.source_nodes])
assert str(answer)
assert len(answer.source_nodes) == fits.similarity_top_k

# %% [markdown]
# ## Does it stay inside the window?
#
# A response mode decides how chunks that do not fit one prompt are spread over several. Count the tokens: each prompt
# and its answer must fit. To see it on one short page, pretend that the window is a quarter of what it is:
# `tree_summarize` then reads the page in parts, and after that the summaries of the parts. (The parts are cut with the
# tokenizer that LlamaIndex ships; it counts English text as Llama 3's does. The tiny local model's own counts more.)

# %%
from llama_index.core import SummaryIndex
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler

counter = TokenCountingHandler()
Settings.callback_manager = CallbackManager([counter])  # engines hand it to their model

long_page = [document for document in documents if document.metadata["page"] == "local-engine.md"]
brief = Llama70B(temperature=0, max_tokens=24, context_window=1024)
recommended_settings(brief).apply()
summarizer = SummaryIndex.from_documents(long_page).as_query_engine(response_mode="tree_summarize", llm=brief)
summary = summarizer.query("What is this page about?")
print(summary)
for event in counter.llm_token_counts:
    print(event.prompt_token_count, "+", event.completion_token_count, "tokens")
assert len(counter.llm_token_counts) >= 3
assert max(event.total_token_count for event in counter.llm_token_counts) <= (4096 if tiny else 1024)
Settings.callback_manager = CallbackManager([])
fits.apply()  # back to the real window

# %% [markdown]
# ## Streaming
#
# The same engine, streamed.

# %%
streaming = index.as_query_engine(similarity_top_k=1, streaming=True).query("What is a replica?")
pieces = []
for piece in streaming.response_gen:
    pieces.append(piece)
    print(piece, end="", flush=True)
assert len(pieces) > 1

# %% [markdown]
# ## Citations
#
# `CitationQueryEngine` cuts the chunks into numbered sources and tells the model to cite them as [1], [2]. How well it
# does that is up to the model; the numbering and the sources' texts are there in any case.

# %%
from llama_index.core.query_engine import CitationQueryEngine

citing = CitationQueryEngine.from_args(index, similarity_top_k=2, citation_chunk_size=256)
cited = citing.query("How is a cold start answered?")
print(cited)
for node in cited.source_nodes[:3]:
    print("*", node.metadata["page"], "|", node.get_content()[:60].replace("\n", " "))
assert all(node.get_content().startswith(f"Source {n}:") for n, node in enumerate(cited.source_nodes, start=1))

# %% [markdown]
# ## Structured answers, sources included
#
# With `output_cls` the answer is an object. The server enforces the schema while the model writes, so even the source
# numbers must be among those that exist.

# %%
from pydantic import BaseModel, Field


class Finding(BaseModel):
    """An answer with the numbers of the sources it rests on."""

    answer: str = Field(max_length=120)
    sources: list[int] = Field(min_length=1, max_length=2, json_schema_extra={"items": {"enum": [1, 2]}})


structured = Llama70B(temperature=0, max_tokens=200)
found = index.as_query_engine(output_cls=Finding, llm=structured, similarity_top_k=2).query(question).response
print(repr(found))
assert isinstance(found, Finding)
assert set(found.sources) <= {1, 2}

# %% [markdown]
# ## A conversation about the documents
#
# A chat engine rewrites each question so that it stands alone, retrieves for it, and keeps the conversation.
# `recommended_memory` leaves room for chunks and answer beside the memory: old turns go when it is full, and the prompt
# never outgrows the window.

# %%
chat_engine = index.as_chat_engine(
    chat_mode="condense_plus_context",
    memory=recommended_memory(llm),
    similarity_top_k=fits.similarity_top_k,
)
for said in ("What does `llama70b local` start?", "And what does it not do?"):
    reply = chat_engine.chat(said)
    print("?", said)
    print("!", str(reply)[:200])
    assert reply.source_nodes
assert len(chat_engine.chat_history) == 4

# %% [markdown]
# ## An agent that looks things up
#
# The query engine becomes a tool of a `FunctionAgent`. A large model decides itself when to call it; the tiny one is
# told to with `initial_tool_choice`. A model may also call again and again: `early_stopping_method="generate"` asks it
# for an answer without tools after `max_iterations` rounds, instead of failing.

# %%
from llama_index.core.agent.workflow import FunctionAgent, ToolCallResult
from llama_index.core.tools import QueryEngineTool

handbook = QueryEngineTool.from_defaults(
    index.as_query_engine(similarity_top_k=1), name="handbook", description="Answers questions about llama70b."
)
agent = FunctionAgent(
    tools=[handbook],
    llm=Llama70B(temperature=0, max_tokens=64),
    system_prompt="Answer from the handbook in one sentence.",
    initial_tool_choice="handbook" if tiny else None,
    early_stopping_method="generate",
)
run = agent.run(
    "How long does a client wait for a cold start?", memory=recommended_memory(llm), max_iterations=2 if tiny else 8
)
called = [event async for event in run.stream_events() if isinstance(event, ToolCallResult)]
result = await run

for event in called:
    print(event.tool_name, event.tool_kwargs, "->", str(event.tool_output)[:80])
print(str(result)[:300])
assert called or not tiny
assert str(result)

# %% [markdown]
# ## A tool that answers too much
#
# A tool may return more than the window holds. By default that is a `ContextOverflow` before anything is sent. With
# `context_guard="trim"` the result is cut in its middle, with a note that the model sees.

# %%
from llama_index.core.llms import ChatMessage

from llamaindex_llama70b import ContextOverflow

turns = [
    ChatMessage(role="user", content="What is in the log?"),
    ChatMessage(
        role="assistant",
        additional_kwargs={
            "tool_calls": [{"id": "call1", "type": "function", "function": {"name": "read", "arguments": "{}"}}]
        },
    ),
    ChatMessage(role="tool", content="a line of the log\n" * 1400, additional_kwargs={"tool_call_id": "call1"}),
]
print(len(turns[-1].content), "characters")

try:
    llm.chat(turns)
    raise AssertionError("expected an overflow")
except ContextOverflow as error:
    print("ContextOverflow:", error.message)

trimmed = llm.chat(turns, context_guard="trim", max_tokens=16)
print(trimmed.additional_kwargs["prompt_tokens"], "tokens sent:", trimmed.message.content)
assert trimmed.additional_kwargs["prompt_tokens"] < 4096

# %% [markdown]
# **Next:** [4. Reasoning](04_reasoning.ipynb)
