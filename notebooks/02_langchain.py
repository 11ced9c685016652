# %% [markdown]
# # 2. LangChain: chains and agents
#
# `ChatLlama70B` is a chat model like any other: `prompt | llm | parser`, tools, structured output, `create_agent`,
# LangGraph. This tutorial shows each once, and what a self-hosted 4096-token model needs besides: memory that fits,
# fallbacks, rate limits.
#
# ```bash
# pip install 'llama70b[langchain,local]'
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
# ## A chain
#
# Prompt, model, parser. Streaming goes through all three.

# %%
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate

from langchain_llama70b import ChatLlama70B

llm = ChatLlama70B(temperature=0, max_tokens=24)
prompt = ChatPromptTemplate.from_messages([("system", "Answer in one short sentence."), ("human", "{question}")])
chain = prompt | llm | StrOutputParser()

streamed = ""
for piece in chain.stream({"question": "What is the capital of France?"}):
    streamed += piece
    print(piece, end="|", flush=True)
assert streamed

# %% [markdown]
# The message under the text knows more: tokens, why it ended, the request's id for the server's log.

# %%
message = (prompt | llm).invoke({"question": "What is the capital of France?"})
print(message.usage_metadata)
print({key: message.response_metadata.get(key) for key in ("finish_reason", "model_name", "request_id")})
assert message.usage_metadata["total_tokens"] > 0

# %% [markdown]
# ## A batch, counted
#
# `batch` runs side by side; a callback counts the tokens of everything inside it.

# %%
from langchain_core.callbacks import get_usage_metadata_callback

with get_usage_metadata_callback() as used:
    replies = chain.batch([{"question": f"Where is {city}?"} for city in ("Rome", "Lima", "Oslo")])

for reply in replies:
    print("-", reply)
print(used.usage_metadata)
assert len(replies) == 3
assert sum(model["output_tokens"] for model in used.usage_metadata.values()) > 3

# %% [markdown]
# ## Structured output
#
# The schema is enforced by the server while it writes, so the answer always parses. (What the fields *say* is still the
# model's business: expect sense from the 70B, not from the local one.)

# %%
from pydantic import BaseModel, Field


class Trip(BaseModel):
    """A trip that somebody plans."""

    city: str = Field(max_length=20)
    days: int = Field(ge=1, le=30)
    by: str = Field(pattern="^(train|plane|car)$")


planner = ChatLlama70B(temperature=0, max_tokens=80).with_structured_output(Trip)
trip = planner.invoke("Ann takes the train to Rome for three days.")
print(repr(trip))
assert isinstance(trip, Trip)

# %% [markdown]
# ## Tools
#
# A function with a docstring becomes a tool. `tool_choice` names the tool that must be called; leave it out and the
# model decides.

# %%
from langchain_core.tools import tool


@tool
def population(city: str) -> str:
    """Return how many people live in a city."""
    known = {"rome": "2.8 million", "lima": "10 million", "oslo": "0.7 million"}
    return known.get(city.lower(), f"no figure for {city!r}")


calling = ChatLlama70B(temperature=0, max_tokens=60).bind_tools([population], tool_choice="population")
asked = calling.invoke("How many people live in Rome?")
(call,) = asked.tool_calls
print(call)
print("->", population.invoke(call["args"]))
assert call["name"] == "population"
assert set(call["args"]) == {"city"}

# %% [markdown]
# ## An agent with a memory
#
# `create_agent` runs the loop: the model asks for a tool, the tool answers, the model goes on. A checkpointer keeps
# each conversation by its `thread_id`.
#
# Two small middlewares: one forces the first call (for the tiny model only), the other, LangChain's own, summarizes old
# turns before they fill the window.

# %%
from langchain.agents import create_agent
from langchain.agents.middleware import SummarizationMiddleware, wrap_model_call
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver


@wrap_model_call
def call_a_tool_first(request, handler):
    """Force a call directly after the user's turn."""
    first = isinstance(request.messages[-1], HumanMessage)
    return handler(request.override(tool_choice="any" if first else "none"))


agent = create_agent(
    ChatLlama70B(temperature=0, max_tokens=40),
    [population],
    system_prompt="Use the tool. Answer in one sentence.",
    middleware=[
        SummarizationMiddleware(ChatLlama70B(max_tokens=120), trigger=("tokens", 2500), keep=("messages", 6)),
        *([call_a_tool_first] if tiny else []),
    ],
    checkpointer=InMemorySaver(),
)
thread = {"configurable": {"thread_id": "ann"}}
state = agent.invoke({"messages": [("user", "How many people live in Lima?")]}, thread)
for turn in state["messages"]:
    print(f"{turn.type:6}", turn.content or turn.tool_calls)

# %%
results = [turn for turn in state["messages"] if turn.type == "tool"]
assert results, "the tool was called"
assert state["messages"][-1].type == "ai"

# %% [markdown]
# The second turn of the same thread has the first one before it; another thread starts empty.

# %%
again = agent.invoke({"messages": [("user", "And in Oslo?")]}, thread)
other = agent.invoke({"messages": [("user", "And in Oslo?")]}, {"configurable": {"thread_id": "ben"}})
print(len(again["messages"]), "messages in Ann's thread,", len(other["messages"]), "in Ben's")
assert len(again["messages"]) > len(state["messages"])
assert len(other["messages"]) < len(again["messages"])

# %% [markdown]
# ## What an agent does, step by step
#
# Agents stream too: `stream_mode="updates"` yields every step as it ends, `"messages"` every token.

# %%
steps = []
for update in agent.stream(
    {"messages": [("user", "How many people live in Rome?")]},
    {"configurable": {"thread_id": "cleo"}},
    stream_mode="updates",
):
    steps += update
print(" -> ".join(steps))
assert "tools" in steps and steps.count("model") >= 2

# %% [markdown]
# ## A prompt that does not fit
#
# The window is 4096 tokens. What cannot fit is refused with both counts, as LangChain's own `ContextOverflowError`, so
# LangChain's middlewares act on it; you can catch it as well and cut the history with `trim_messages`, counted by the
# server's own tokenizer.

# %%
from langchain_core.exceptions import ContextOverflowError
from langchain_core.messages import trim_messages

history = []
for part in range(1, 15):
    history += [("user", f"Tell me part {part} of the story."), ("ai", "The ship went on over the sea. " * 40)]
history.append(("user", "What is the capital of France?"))

try:
    llm.invoke(history)
    raise AssertionError("expected an overflow")
except ContextOverflowError as error:
    print(type(error).__name__, error.prompt_tokens, ">", error.max_model_len)

# %%
short = trim_messages(history, max_tokens=1000, token_counter=llm, strategy="last", start_on="human")
print(len(history), "messages, cut to", len(short), "with", llm.get_num_tokens_from_messages(short), "tokens")
print(llm.invoke(short).content)
assert llm.get_num_tokens_from_messages(short) <= 1000

# %% [markdown]
# ## Fallbacks
#
# An endpoint can be gone. Errors carry whether trying again makes sense, and `with_fallbacks` needs nothing special.
# Here the first model's server does not exist.

# %%
gone = ChatLlama70B(base_url="http://127.0.0.1:9", api_key="none", max_retries=0, timeout=5, max_tokens=8)
safe = gone.with_fallbacks([llm])
print(safe.invoke("Say hello.").content)

# %% [markdown]
# ## Rate limits
#
# A limiter spaces requests out, for an endpoint shared with others.

# %%
import time

from langchain_core.rate_limiters import InMemoryRateLimiter

gentle = ChatLlama70B(
    max_tokens=4,
    rate_limiter=InMemoryRateLimiter(requests_per_second=2, check_every_n_seconds=0.05, max_bucket_size=1),
)
began = time.monotonic()
gentle.batch(["one", "two", "three"])
print(f"three requests at two a second: {time.monotonic() - began:.1f} s")
assert time.monotonic() - began > 0.9

# %% [markdown]
# **Next:** [3. LlamaIndex](03_llamaindex.ipynb) · [4. Reasoning](04_reasoning.ipynb)
