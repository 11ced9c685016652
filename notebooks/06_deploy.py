# %% [markdown]
# # 6. Deploying, and benchmarking an endpoint
#
# From a checkout of the repository: choose a profile, check it, look at the exact command and at what would be deployed,
# and measure an endpoint that is up.
#
# ```bash
# git clone ... && cd llama70b
# pip install -e '.[langchain,llamaindex,local]' rich
# ```
#
# **What runs here and what does not.** Everything up to the deployment itself runs on this machine without an account,
# a GPU or a network. The steps that need a Modal account are shown and marked **needs an account**; they were never run
# against a live one. The benchmark at the end measures whatever `LLAMA70B_BASE_URL` names; without it a small local
# engine, whose figures say nothing about a 70B.

# %%
import os

if not os.environ.get("LLAMA70B_BASE_URL"):  # no endpoint of yours: a small local engine
    from llama70b.local import LocalEngine

    engine = LocalEngine()
    here = engine.start()
    os.environ["LLAMA70B_BASE_URL"] = here.base_url
    os.environ["LLAMA70B_API_KEY"] = here.api_key.get_secret_value()
    os.environ["LLAMA70B_MODEL"] = here.model

# %%
import subprocess
import sys
from pathlib import Path

root = Path.cwd() if (Path.cwd() / "server").is_dir() else Path.cwd().parent
assert (root / "server").is_dir(), "this tutorial runs in a checkout"


def run_it(*arguments, **environ):
    """Run a module of the checkout and print what it says, with the checkout's own path left out."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=root,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
    )
    said = (done.stdout + done.stderr).replace(f"{root}/", "")
    print(said)
    return done.returncode, said


# %% [markdown]
# ## 1. Choose a profile
#
# A profile is a GPU and a checkpoint. Prices are list prices with their date. Speeds are marked: **m** measured (with
# dummy weights), **p** published by others, **e** estimated. Cold starts are computed, not observed.

# %%
code, said = run_it("server.profiles")
assert code == 0
assert "h200-fp8" in said
assert "a100x2-bf16" in said

# %% [markdown]
# What decides: one user at a time wants speed (`tok/s`), many want room for their contexts (`KV tokens`), a rare question
# wants a short cold start and a cheap idle tail (`$/q`).

# %%
from llama70b.cost import Container, price_table, steady_state

print("profile        requests/h  $/request")
for name in ("a100x2-bf16", "h200-fp8"):
    known = price_table().profiles[name]
    container = Container(known.price.dollars_per_hour, known.boot_s, known.window_s, service_s=8)
    for hourly in (2, 60):
        print(f"{name:12} {hourly:12} {steady_state(container, hourly / 3600).dollars_per_request:10.3f}")

# %% [markdown]
# ## 2. Check it before anything is billed
#
# Preflight refuses what cannot work: weights that do not fit, a window with no room, a profile nobody knows. `--offline`
# asks nobody; without it the pinned commits of the checkpoint are looked up on the hub, and `--modal` asks Modal too
# (**needs an account**).

# %%
code, said = run_it("server.preflight", "--offline", LLAMA70B_PROFILE="h200-fp8")
assert code == 0

# %% [markdown]
# A window that does not fit is refused, with the reason:

# %%
code, said = run_it("server.preflight", "--offline", LLAMA70B_PROFILE="a100x2-bf16", LLAMA70B_MAX_MODEL_LEN="131072")
assert code != 0
assert "refused" in said

# %% [markdown]
# ## 3. The exact command
#
# One builder makes the vLLM command for Modal, for your own machine and for the benchmarks. A dry run prints it.

# %%
code, said = run_it("server.run", "--dry-run", "--gpu", "H200")
assert code == 0
assert "--max-model-len 4096" in said
assert "--api-key" not in said, "keys never stand on a command line"

# %% [markdown]
# ## 4. What would be deployed
#
# The tests deploy to a control plane on loopback and keep what arrived there, per profile. This is that record: the same
# objects that Modal would get.

# %%
import json

manifest = json.loads((root / "tests" / "server" / "golden" / "h200-fp8.json").read_text(encoding="utf-8"))
print("app:", manifest["app"])
print("functions:")
for function in manifest["functions"]:
    print(json.dumps(function, indent=1)[:600] if isinstance(function, dict) else function)
    print()
assert "--max-model-len" in manifest["command"]["argv"]

# %% [markdown]
# ## 5. Deploy: **needs an account**, not run here
#
# ```bash
# pip install -r requirements/server.txt
# modal setup
# export LLAMA70B_PROFILE=h200-fp8
# python -m server.preflight                # now with hub and, with --modal, Modal
# modal run -m server.app::download         # weights into a Volume, on a CPU
# modal deploy -m server.app                # prints the URL
# modal run -m server.app::smoke            # wakes it once and checks it
#
# export LLAMA70B_BASE_URL=https://...      # the printed URL
# export LLAMA70B_API_KEY=wk-....ws-...     # a proxy token of your workspace
# llama70b doctor --probe
# llama70b check
# ```
#
# `docs/serving.md` says what was proven without an account, and what `preflight` and `smoke` have yet to show.

# %% [markdown]
# ## 6. Benchmark an endpoint
#
# A closed loop: so many callers at once, each asking again as soon as it has its answer. Time to the first token is what
# a reader waits for, tokens a second what the machine gives. The endpoint is woken first, so that a cold start is not
# in the figures.

# %%
import asyncio
import statistics
import time

from llama70b import AsyncClient, ChatRequest, Client, Message

with Client() as client:
    print(f"awake after {client.wait_until_ready():.1f} s, serves {client.models()[0].id}")

tiny = "SmolLM" in os.environ.get("LLAMA70B_MODEL", "")  # the local engine: just enough to show the loop
TOKENS, ROUNDS, CALLERS = (8, 1, (1, 2)) if tiny else (256, 3, (1, 8, 32))


async def one(client, number):
    request = ChatRequest(
        messages=(Message("user", f"Write a short story about the number {number}."),),
        max_tokens=TOKENS,
        temperature=0,
    )
    async with await client.stream(request) as stream:
        async for _ in stream:
            pass
    return stream.completion


async def load(callers):
    async with AsyncClient() as client:
        began = time.perf_counter()
        waves = [
            await asyncio.gather(*(one(client, wave * callers + i) for i in range(callers))) for wave in range(ROUNDS)
        ]
        took = time.perf_counter() - began
    answers = [answer for wave in waves for answer in wave]
    return {
        "callers": callers,
        "tok_s": sum(answer.usage.completion_tokens for answer in answers) / took,
        "first_ms": 1e3 * statistics.median(answer.timing.first_token_s for answer in answers),
        "answers": answers,
    }


# %%
measured = [await load(callers) for callers in CALLERS]

print("callers   tok/s   first token, median")
for at in measured:
    print(f"{at['callers']:7} {at['tok_s']:7.1f} {at['first_ms']:12.0f} ms")

for at in measured:
    assert len(at["answers"]) == ROUNDS * at["callers"]
    assert all(0 < answer.usage.completion_tokens <= TOKENS for answer in at["answers"])
    assert all(answer.timing.first_token_s <= answer.timing.total_s for answer in at["answers"])

# %% [markdown]
# Dollars for a million tokens, at the price of the container and at this load. With the local engine there is no price,
# so the figure is made with the H200's measured speeds (dummy weights, vLLM 0.25.1; `docs/serving.md`):

# %%
PRICE = 5.43
for callers, tok_s in ((1, 50.6), (64, 2345.1)):
    print(f"{callers:3} callers, {tok_s:7.1f} tok/s: ${PRICE / 3600 / tok_s * 1e6:6.2f} a million tokens")

# %% [markdown]
# For more than a look: `python -m benchmarks.client.live --url URL --model NAME --out results` runs 1, 64 and 128 streams
# through `ChatLlama70B`, `Llama70B`, their peers and a raw reader, in changing order, so that you see whether the client or
# the server is the limit; `benchmarks/serve/` holds the server's own benchmarks.
#
# **Back to:** [1. Quickstart](01_quickstart.ipynb) · [5. Routing and usage](05_routing_usage.ipynb)
