# %% [markdown]
# # 5. Routing, usage and tuning
#
# An endpoint that scales to zero is billed by the second it is up. This tutorial records what every run took and cost,
# reads the report, asks for advice on the scaledown window, and looks at the router that chooses between an 8B and the
# 70B: first in shadow mode, where it only says what it would have done, then in a simulator.
#
# ```bash
# pip install 'llama70b[langchain,llamaindex,cli,report,local]'
# ```
#
# **What is real here.** On the local engine the rows are real runs, but its container is your machine: prices and boot
# times below are those of a deployment profile, named where they are used.

# %%
import os

if not os.environ.get("LLAMA70B_BASE_URL"):  # no endpoint of yours: a small local engine
    from llama70b.local import LocalEngine

    engine = LocalEngine()
    here = engine.start()
    os.environ["LLAMA70B_BASE_URL"] = here.base_url
    os.environ["LLAMA70B_API_KEY"] = here.api_key.get_secret_value()
    os.environ["LLAMA70B_MODEL"] = here.model

# %% [markdown]
# ## The ledger
#
# One variable, and every model run of the process becomes one row of a SQLite file: tokens, times, how it ended, what it
# waited for, never the text. Here it goes into a temporary folder, so that your own ledger stays as it is.

# %%
import tempfile
from pathlib import Path

folder = Path(tempfile.mkdtemp())
ledger_file = folder / "usage.sqlite3"
os.environ["LLAMA70B_LEDGER"] = str(ledger_file)
os.environ["LLAMA70B_PRICE_PER_HOUR"] = "5.43"  # the profile h200-fp8 at list price
os.environ["LLAMA70B_WINDOW"] = "180"

# %% [markdown]
# Both frameworks write into it, on every path: whole answers, streams, batches, structured output. `attributed` says
# whose runs they are.

# %%
from langchain_llama70b import ChatLlama70B
from llama70b.ledger import attributed
from llamaindex_llama70b import Llama70B

chat = ChatLlama70B(temperature=0, max_tokens=12)
llm = Llama70B(temperature=0, max_tokens=12)

with attributed(session="tutorial", user="ada"):
    answer = chat.invoke("What is the capital of France?")
    for _ in chat.stream("Count to five."):
        pass
    chat.batch(["Name a city.", "Name a river."])
llm.complete("Name a mountain.")

print(answer.response_metadata["cost"])
assert answer.response_metadata["cost"]["estimate"] is True

# %% [markdown]
# The rows are written by a thread of their own; `flush` waits for it.

# %%
from llama70b.ledger import Ledger, default_recorder

recorder = default_recorder()
assert recorder.flush()

rows = Ledger(ledger_file).runs()
print("framework   stream  outcome    prompt  answer   seconds  session")
for row in rows:
    print(
        f"{row.framework:11} {row.stream!s:7} {row.outcome:10} {row.prompt_tokens:6} {row.completion_tokens:7}"
        f" {row.total_ns / 1e9:9.2f}  {row.session or ''}"
    )
assert len(rows) == 5
assert {row.framework for row in rows} == {"langchain", "llamaindex"}
assert sum(row.session == "tutorial" for row in rows) == 4
assert all(row.prompt is None for row in rows), "no text unless asked for"

# %% [markdown]
# ## The report
#
# `llama70b usage` reads the ledger. When the container was up is reconstructed from the runs and the scaledown window,
# and is marked as estimated; what it cost is shared out to boot, work and idle time.

# %%
import subprocess
import sys


def run_it(*arguments):
    done = subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True)
    print(done.stdout + done.stderr)
    return done


shown = run_it("llama70b", "usage")
assert shown.returncode == 0

# %% [markdown]
# The same as one page with plots, loading nothing from elsewhere, and as rows for your own tools:

# %%
page = folder / "usage.html"
assert run_it("llama70b", "usage", "--html", str(page)).returncode == 0
html = page.read_text(encoding="utf-8")
assert "<svg" in html

export = folder / "usage.csv"
assert run_it("llama70b", "usage", "export", "--format", "csv", "-o", str(export)).returncode == 0
assert len(export.read_text(encoding="utf-8").splitlines()) == 1 + len(rows)

# %% [markdown]
# ## Advice
#
# Staying up costs money every second; going to sleep costs a boot, and somebody's waiting, when the next request comes.
# `llama70b recommend` weighs every pause it has seen. Five runs are far too few, and it says so:

# %%
advice = run_it("llama70b", "recommend", "--value-of-waiting", "20")
assert advice.returncode == 0

# %% [markdown]
# So here is a longer history, **simulated**: four weeks of office questions, a few at a time. The advice is computed by
# the same code that reads the ledger.

# %%
import random
from itertools import pairwise

from llama70b.cost import price_table
from llama70b.cost.recommend import Terms, advise_window
from llama70b.routing.simulate import arrivals

profile = price_table().profiles["h200-fp8"]
terms = Terms(profile.price.dollars_per_hour, profile.boot_s, value_per_hour=20)
asked_at = arrivals("office", 12, 28, random.Random(0))
pauses = [later - earlier for earlier, later in pairwise(asked_at)]

office = advise_window(pauses, terms, current_s=180, days=28)
print(f"{office.gaps} pauses; break-even window {office.break_even_s:.0f} s")
print(f"advised: {office.recommended_s}, because {office.why}")
print(
    f"saves ${office.saving_per_day:.2f} a day ({office.saving_low:.2f} to {office.saving_high:.2f}), waiting included"
)
assert office.gaps > 1000

# %% [markdown]
# What an hour of waiting is worth is yours to say, and it decides much:

# %%
windows = []
for value in (0, 10, 60):
    worth = Terms(profile.price.dollars_per_hour, profile.boot_s, value_per_hour=value)
    windows.append(worth.break_even_s)
    print(f"${value:2} an hour: break-even after {worth.break_even_s:5.0f} s of silence")
assert windows == sorted(windows)

# %% [markdown]
# ## The router in shadow mode
#
# With an 8B beside the 70B, the question is which container is awake and what waking the other adds. In shadow mode, the
# default, the 70B answers everything, and the record of each answer says what would have been done and why. Any two
# chat models will do: without a second endpoint, the same one plays the 8B here.

# %%
from langchain_llama70b.router import ChatLlamaRouter
from llama70b.routing import Policy

small = ChatLlama70B(
    base_url=os.environ.get("LLAMA8B_BASE_URL") or os.environ["LLAMA70B_BASE_URL"],
    api_key=os.environ.get("LLAMA8B_API_KEY") or os.environ.get("LLAMA70B_API_KEY"),
    model=os.environ.get("LLAMA8B_MODEL") or chat.model,
    temperature=0,
    max_tokens=12,
)
router = ChatLlamaRouter.of(chat, small, policy=Policy(mode="shadow"))

plan = router.explain("Prove that there are infinitely many primes.")  # decides, asks nobody
for key, value in plan.items():
    print(f"{key:16} {value}")

# %%
routed = router.invoke("Say hello.")
record = routed.response_metadata["routing"]
print("answered by the", record["tier"], "| reason:", record["reason"])
assert record["tier"] == "70b", "shadow mode changes nothing"

# %% [markdown]
# The record stands in the ledger too, and `llama70b usage` counts it by reason.

# %%
assert recorder.flush()
last = Ledger(ledger_file).runs()[-1]
assert last.routing is not None
print(last.routing[:200])

# %% [markdown]
# `mode="on"` lets it decide. A caller can always choose by hand:

# %%
on = ChatLlamaRouter.of(chat, small, policy=Policy.preset("economy", mode="on"))
for tier in ("70b", "8b"):
    chosen = on.invoke("Say hello.", tier=tier).response_metadata["routing"]["tier"]
    print(f"asked for {tier}: {chosen}")
    assert chosen == tier

# %% [markdown]
# ## What a policy would come to: the simulator
#
# The policy under test is the code that routes. What is **assumed**: the prices and boot times below, random arrivals,
# how often each model is right, and how well a score tells the prompts apart. The gap model that ships has no weights
# and tells no prompt from another; do not read these rows as measurements of the two models.

# %%
from llama70b.cost import Container
from llama70b.routing.simulate import Traffic, always, aware, blind, run

large, little = Container(5.0, 150, 180, 6), Container(1.10, 45, 180, 1.5)
rng = random.Random(1)
prompts = list(Traffic().prompts(arrivals("poisson", 60, 7, rng), rng))
wants = Policy(2.75, 10, mode="on", when_asleep="wait", min_wake_gap=0, wakes_per_hour=None)

outcomes = [
    run("always the 70B", prompts, large, little, always("70b")),
    run("always the 8B", prompts, large, little, always("8b")),
    run("top 30 % to the 70B", prompts, large, little, blind(prompts, 0.3)),
    run("the formula", prompts, large, little, aware(wants)),
]
print("policy                 $/day   right  mean wait  to the 70B")
for one in outcomes:
    print(
        f"{one.name:20} {one.dollars_per_day:7.0f} {one.accuracy:7.1%} {one.mean_wait_s:8.1f} s {one.share_70b:11.0%}"
    )

rule, formula = outcomes[2], outcomes[3]
assert formula.accuracy >= rule.accuracy
assert formula.dollars_per_day < rule.dollars_per_day

# %% [markdown]
# ## Limits of your own
#
# A budget refuses before anything is sent. `LLAMA70B_BUDGET` sets it for a process; here it is read and checked only.

# %%
from llama70b.cost.budget import Budget

print(Budget.parse("usd_per_day=20,wakes_per_hour=4,soft_usd_per_day=15"))

# %% [markdown]
# **Next:** [6. Deploying](06_deploy.ipynb) · back to [1. Quickstart](01_quickstart.ipynb)
