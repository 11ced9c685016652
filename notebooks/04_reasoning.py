# %% [markdown]
# # 4. Reasoning: syllogisms, decided exactly
#
# *All roses are flowers. Some flowers fade quickly. So some roses fade quickly?* It sounds right and does not follow.
# Language models, large ones too, are easily caught by such arguments. Here the model reads and explains, and a small
# exact program decides.
#
# ```bash
# pip install 'llama70b[langchain,llamaindex,report,local]'
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

# A small model must be told to call the checker, and the server holds the call to the user's own sentences.
tiny = "SmolLM" in os.environ.get("LLAMA70B_MODEL", "")
tool_use = "forced" if tiny else "auto"

# %% [markdown]
# ## The checker alone
#
# No model is asked. The reader accepts what its grammar covers, in English or Chinese; the checker decides it and shows
# a small world in which the premises hold and the conclusion does not.

# %%
from llama70b.syllogism import check_argument

ROSES = "If all roses are flowers and some flowers fade quickly, can we conclude that some roses fade quickly?"
roses = check_argument(ROSES)
print(roses.verdict)
print(roses.explanation)
assert roses.verdict == "undetermined"

# %%
for text in (
    "All Greeks are men. All men are mortal. Therefore all Greeks are mortal.",
    "No fish are mammals. All whales are mammals. Therefore some whales are fish.",
    "所有人都会死。苏格拉底是人。所以苏格拉底会死。",
):
    decided = check_argument(text)
    print(f"{decided.verdict:13} {decided.result.form or '':10} {text}")
    assert decided.verdict in {"entailed", "contradicted"}

# %% [markdown]
# What it cannot read for certain it refuses, and says which words and why. It never guesses.

# %%
refused = check_argument("Most birds fly. Tweety is a bird. Therefore Tweety flies.")
print(refused.verdict)
print(refused.explanation)
assert refused.verdict not in {"entailed", "contradicted", "undetermined"}

# %% [markdown]
# ## The model alone
#
# For comparison, the same question without help. Take what the local model says with a smile.

# %%
from langchain_llama70b import ChatLlama70B

chat = ChatLlama70B(temperature=0, max_tokens=60)
bare = chat.invoke(ROSES)
print(bare.content)
assert bare.usage_metadata["output_tokens"] > 0

# %% [markdown]
# ## The LangChain agent
#
# The model calls the checker as a tool and phrases the answer. The verdict of the final answer is the checker's,
# whatever the model says: words that contradict it are replaced, and `corrected` tells you so.

# %%
from langchain_llama70b import create_syllogism_agent as langchain_agent

state = langchain_agent(chat, tool_use=tool_use).invoke({"messages": [("user", ROSES)]})
result = state["structured_response"]

for key in ("verdict", "decided_by", "tool_calls", "agreement", "corrected", "countermodel"):
    print(f"{key:13} {result[key]}")
print("\n" + state["messages"][-1].content)
assert result["verdict"] == "undetermined"
assert result["usage"]["completion_tokens"] > 0
assert state["messages"][-1].content == result["answer"]

# %% [markdown]
# ## The LlamaIndex agent
#
# The same on `FunctionAgent`; the result has the same fields.

# %%
from llamaindex_llama70b import Llama70B
from llamaindex_llama70b import create_syllogism_agent as llamaindex_agent

llm = Llama70B(temperature=0, max_tokens=60)
output = await llamaindex_agent(llm, tool_use=tool_use).run(ROSES)
other = output.structured_response

print(other["verdict"], other["reading"])
assert other["verdict"] == result["verdict"]
assert output.response.content == other["answer"]

# %% [markdown]
# ## Without tools
#
# For models that cannot call tools at all: a LangChain chain, and a LlamaIndex query engine. Reader and checker run
# first; the model only phrases the result.

# %%
from langchain_llama70b import syllogism_chain
from llamaindex_llama70b import SyllogismQueryEngine

chained = syllogism_chain(chat).invoke("All squares are rectangles. Are some rectangles squares?")
queried = SyllogismQueryEngine(llm=llm).query("All squares are rectangles. Are some rectangles squares?")
print(chained["verdict"], "|", queried.metadata["verdict"])
print(chained["answer"])
assert chained["verdict"] == queried.metadata["verdict"] == "entailed"

# %% [markdown]
# ## A small evaluation
#
# How well does your model judge arguments? `generate` makes arguments whose right answer is known exactly, half of them
# valid, a third each with a believable, an unbelievable and a nonsense conclusion. Here are a few.

# %%
from llama70b.evaluation import generate

items = generate(24, seed=0)
for item in items[:4]:
    print("valid  " if item.valid else "invalid", item.text)
assert sum(item.valid for item in items) == 12

# %% [markdown]
# An *arm* is a way to answer: `bare` asks the model for one word, `parser_only` is reader and checker, `atmosphere` is
# the classical account of human error, `always_invalid` what guessing is worth. Answers are kept in a folder: start
# again after an interruption and it goes on where it stopped.

# %%
import tempfile
from pathlib import Path

from llama70b import Endpoint
from llama70b.evaluation import Journal, Run, Settings, open_run, plan, run

folder = Path(tempfile.mkdtemp()) / "evaluation"
endpoints = {"mine": Endpoint.from_env()}
settings = Settings()
held = open_run(folder, Run(items, settings, models={name: one.model for name, one in endpoints.items()}))
with Journal(folder) as journal:
    lanes = plan(held.items, ["bare", "parser_only", "atmosphere", "always_invalid"], endpoints, journal)
    await run(lanes, settings, journal, agents={}, concurrency=2)
    print(len(journal.records), "answers")
    assert len(journal.records) == 4 * len(items)
    assert not [record.error for record in journal.records.values() if record.error]

# %% [markdown]
# `write_report` writes pages, tables and pictures. `llama70b syllogism eval FOLDER` does all of this from the command
# line, with more arms (both agents among them).

# %%
from llama70b.evaluation.report import write_report

files = {path.name: path for path in write_report(folder)}
print(", ".join(sorted(files)))
assert {"report.html", "report.json", "accuracy.png"} <= set(files)

# %%
from IPython.display import Image

Image(filename=files["accuracy.png"], width=720)

# %% [markdown]
# Twenty-four items are few: the bars show 95 % intervals, and they are wide. What was recorded with more is in
# `docs/evaluation/report.md`.

# %%
import json

report = json.loads(files["report.json"].read_text(encoding="utf-8"))
for arm in report["arms"]:
    print(arm["arm"], arm["accuracy"])
