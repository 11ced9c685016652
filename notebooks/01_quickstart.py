# %% [markdown]
# # 1. Quickstart
#
# Ask your own Llama-3.3-70B a question, stream an answer, watch a cold start, and see what it costs.
#
# ```bash
# pip install 'llama70b[langchain,llamaindex,local]'
# ```
#
# **Your endpoint or none.** With `LLAMA70B_BASE_URL` (and `LLAMA70B_API_KEY`) set, everything below runs on your
# endpoint. Without them the next cell starts a small engine on this machine. It speaks the same protocol, but its
# model has 135 million parameters: its answers are often silly, and that is fine here.

# %%
import os

if not os.environ.get("LLAMA70B_BASE_URL"):
    from llama70b.local import LocalEngine

    engine = LocalEngine()  # ends with this notebook's kernel
    here = engine.start()
    os.environ["LLAMA70B_BASE_URL"] = here.base_url
    os.environ["LLAMA70B_API_KEY"] = here.api_key.get_secret_value()
    os.environ["LLAMA70B_MODEL"] = here.model

# %% [markdown]
# ## The first answer
#
# `Client` needs no framework. The answer comes with what it used and where the seconds went.

# %%
from llama70b import ChatRequest, Client, Message

client = Client()
question = ChatRequest(messages=(Message("user", "What is the capital of France?"),), max_tokens=12, temperature=0)
answer = client.chat(question)

print(answer.text)
print(answer.usage)
print(f"{answer.timing.total_s:.2f} s, of these {answer.timing.cold_start_s:.2f} s for a cold start")
assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens

# %% [markdown]
# ## Streaming
#
# A stream yields pieces as the model writes them. After its end, `stream.completion` is the same object that `chat`
# returns, with the token counts.

# %%
pieces = []
with client.stream(question) as stream:
    for delta in stream:
        pieces.append(delta.content)
        print(delta.content, end="|", flush=True)

print("\n", stream.completion.usage)
assert "".join(pieces) == stream.completion.text
assert len(pieces) > 1

# %% [markdown]
# ## An answer that must have a form
#
# The server can hold the model to a list of choices, a regular expression, a JSON schema or a grammar. Even a tiny
# model cannot answer anything else.

# %%
from llama70b import StructuredOutputs

polite = ChatRequest(
    messages=(Message("user", "Is 'thank you so much' polite or rude?"),),
    structured_outputs=StructuredOutputs(choice=("polite", "rude")),
    temperature=0,
)
word = client.chat(polite).text
print(word)
assert word in {"polite", "rude"}

# %% [markdown]
# ## The same in LangChain and LlamaIndex
#
# Both read the same environment variables. The next two tutorials are about them.

# %%
from langchain_llama70b import ChatLlama70B
from llamaindex_llama70b import Llama70B

chat = ChatLlama70B(temperature=0, max_tokens=12)
llm = Llama70B(temperature=0, max_tokens=12)

print("LangChain :", chat.invoke("What is the capital of France?").content)
print("LlamaIndex:", llm.complete("What is the capital of France?").text)

# %% [markdown]
# ## A cold start, seen
#
# An endpoint that scales to zero sleeps when nobody asks, and its first answer then takes minutes. The client waits,
# tells you what it sees, and sends the answer when it comes: no code of yours is needed.
#
# Here is one that takes seconds: a second local engine, asked while its model is still loading. Until then it answers
# 503, as a sleeping endpoint on Modal does. `on_progress` is told of every step; on a terminal or in a notebook a
# progress bar appears by itself after two seconds.

# %%
from llama70b.local import LocalEngine

steps = []
with LocalEngine(wait=False) as sleeping, Client(sleeping) as patient:
    woken = patient.chat(question, on_progress=steps.append)

for step in (steps[0], steps[-1]):
    print(f"{step.elapsed_s:5.1f} s  {step.state:8} {step.detail}")
print(f"\nwaited {woken.timing.cold_start_s:.1f} s of {woken.timing.total_s:.1f} s, then: {woken.text}")
assert steps[-1].state == "ready"
assert 0 < woken.timing.cold_start_s < woken.timing.total_s

# %% [markdown]
# `warm_up()` of the LangChain and LlamaIndex models, and `llama70b wake` on the command line, do the waiting ahead of
# time.

# %%
print(f"waited {client.wait_until_ready():.1f} s")

# %% [markdown]
# ## What it costs
#
# You pay for the seconds the container is up, not for tokens. Tell the price (`price_per_hour=`, or
# `LLAMA70B_PRICE_PER_HOUR`, or `LLAMA70B_PROFILE` for a list price) and every answer carries an estimate.

# %%
from llama70b.cost import price_table

profile = price_table().profiles["h200-fp8"]
print(f"{profile.name}: ${profile.price.dollars_per_hour:.2f} an hour ({profile.price.source})")

priced = ChatLlama70B(temperature=0, max_tokens=12, price_per_hour=profile.price.dollars_per_hour)
cost = priced.invoke("What is the capital of France?").response_metadata["cost"]
print(cost)
assert cost["usd"] > 0

# %% [markdown]
# What decides the bill is how the requests are spread: each cold start pays for a boot, and each pause for the idle
# minutes before the container sleeps. The closed form says what to expect of random requests at a steady rate. The
# boot time is a planning figure and prices are those of the list above; your own ledger replaces both (tutorial 5).

# %%
from llama70b.cost import Container, steady_state

container = Container(profile.price.dollars_per_hour, profile.boot_s, profile.window_s, service_s=10)

print("requests/h   $/day   $/request   up   wait for a cold start")
rows = []
for hourly in (1, 5, 20, 60, 200):
    at = steady_state(container, hourly / 3600)
    rows.append(at)
    print(
        f"{hourly:10} {at.dollars_per_day:7.2f} {at.dollars_per_request:11.3f} {at.duty:4.0%} {at.waiting_share:9.0%}"
    )
assert rows[0].dollars_per_request > rows[-1].dollars_per_request

# %% [markdown]
# ## When something is wrong
#
# Every error says what was wrong and what to do, and has a type you can catch. Two that everybody meets: a name that is
# not served, and a prompt longer than the window.

# %%
from llama70b.errors import ContextOverflow, NotFound

try:
    client.chat(ChatRequest(messages=question.messages, model="no-such-model"))
except NotFound as error:
    print("NotFound:", error.message)
    print("   hint:", error.hint)
else:
    raise AssertionError("expected NotFound")

# %%
try:
    client.chat(ChatRequest(messages=(Message("user", "ship " * 40_000),)))
except ContextOverflow as error:
    print("ContextOverflow:", error.prompt_tokens, "tokens into", error.max_model_len)
    print("   hint:", error.hint)
    assert error.prompt_tokens > error.max_model_len
else:
    raise AssertionError("expected ContextOverflow")

# %% [markdown]
# ## Many at once
#
# `AsyncClient` has the same methods. Requests made together share the connections, and share the wait if the endpoint
# sleeps.

# %%
import asyncio

from llama70b import AsyncClient


async def ask(cities):
    async with AsyncClient() as shared:
        requests = [
            ChatRequest(messages=(Message("user", f"Name a street in {city}."),), max_tokens=8) for city in cities
        ]
        return await asyncio.gather(*(shared.chat(request) for request in requests))


answers = await ask(["Rome", "Lima", "Oslo"])
for one in answers:
    print(repr(one.text), one.usage.completion_tokens, "tokens")
assert len(answers) == 3

# %%
client.close()

# %% [markdown]
# **Next:** [2. LangChain](02_langchain.ipynb) · [3. LlamaIndex](03_llamaindex.ipynb) ·
# [4. Reasoning](04_reasoning.ipynb)
