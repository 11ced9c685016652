"""The pure half of the front: templates, grammars, requests and answers, without an engine."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama70b._sse import SSEDecoder
from llama70b.local import _grammar as grammar
from llama70b.local._backend import payload
from llama70b.local._render import ChatTemplate, choose_template
from llama70b.local._reply import Envelope, Piece, Timing, joined, read_piece
from llama70b.local._request import chat_job, completion_job
from llama70b.local._sampling import Defaults
from llama70b.local._stream import DONE, ChoiceStream, closing, opening, steps
from llama70b.local._words import Refusal

DEFAULTS = Defaults(temperature=0.1, top_p=0.9)
ASK: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}


def test_default_template_gives_a_system_turn_of_its_own() -> None:
    template = ChatTemplate(choose_template("{{ '<|im_start|>' }}"))
    prompt = template.render(ASK["messages"])
    assert prompt.startswith("<|im_start|>system\nYou are a helpful AI assistant.<|im_end|>\n")
    assert prompt.endswith("<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n")
    assert '"name": "f"' in template.render(ASK["messages"], tools=[TOOL])


def test_template_with_tools_of_its_own_is_kept() -> None:
    own = "{% if tools %}{{ tools | tojson }}{% endif %}{{ messages[0].content }}"
    assert choose_template(own) == own
    assert choose_template("[INST]") == "[INST]"
    with pytest.raises(Refusal, match="no tools section"):
        ChatTemplate("[INST]").render(ASK["messages"], tools=[TOOL])
    with pytest.raises(Refusal, match="refused by the template"):
        ChatTemplate("{{ raise_exception('refused by the template') }}").render(ASK["messages"])


def test_template_runs_in_a_sandbox() -> None:
    with pytest.raises(Refusal):
        ChatTemplate("{{ messages.__class__.__mro__[1].__subclasses__() }}").render(ASK["messages"])


def test_schema_is_closed_unless_it_says_otherwise() -> None:
    inner = {"type": "object", "properties": {"properties": {"type": "integer"}}}
    schema = {"type": "object", "properties": {"a": inner}, "additionalProperties": {"type": "string"}}
    sent = json.loads(grammar.from_schema(schema).split("%json ", 1)[1])
    assert sent["properties"]["a"]["additionalProperties"] is False
    assert sent["properties"]["a"]["properties"]["properties"] == {"type": "integer"}
    assert sent["additionalProperties"] == {"type": "string"}


@given(st.lists(st.text(min_size=1, alphabet=st.characters(exclude_categories=["Cs", "Cc"])), min_size=1, max_size=3))
def test_any_choice_makes_a_grammar(choices: list[str]) -> None:
    assert grammar.from_choice(choices).startswith("%llguidance {}\nstart: ")


@pytest.mark.parametrize(
    ("make", "argument", "words"),
    [
        (grammar.from_regex, "(?=a)b", "Grammar error"),
        (grammar.from_regex, "(a", "Grammar error"),
        (grammar.from_regex, "a\x00", "NUL"),
        (grammar.from_grammar, "  ", "cannot be an empty string"),
        (grammar.from_grammar, "zzz", "Invalid grammar specification"),
        (grammar.from_schema, "{", "Invalid grammar specification"),
        (grammar.from_schema, "3", "a JSON schema is an object"),
        (
            grammar.from_schema,
            {"type": "array", "uniqueItems": True},
            'Grammar error: Unimplemented keys: ["uniqueItems"]',
        ),
        (grammar.from_choice, [], "cannot be an empty list"),
    ],
)
def test_what_cannot_be_a_grammar_is_refused(make: Any, argument: Any, words: str) -> None:
    with pytest.raises(Refusal) as caught:
        make(argument)
    assert words in str(caught.value)
    assert caught.value.status == 400


def test_sampling_goes_to_llama_cpp_in_vllms_order() -> None:
    job = chat_job({**ASK, "seed": -1, "stop": "x", "logit_bias": {"5": 200}, "logprobs": True, "top_k": -1}, DEFAULTS)
    body = payload([1, 2], job.sampling, grammar="g", answer=1, most=7)
    assert body["samplers"] == ["penalties", "temperature", "min_p", "top_k", "top_p"]
    assert (body["n_predict"], body["seed"], body["stop"], body["top_k"]) == (7, 0, ["x"], 0)
    assert (body["logit_bias"], body["n_probs"], body["grammar"]) == ([[5, 100.0]], 1, "g")
    assert (body["temperature"], body["top_p"]) == (0.1, 0.9)


FIELDS = (
    "temperature n stop tools tool_choice response_format seed stream logit_bias structured_outputs stream_options "
    "top_logprobs messages max_tokens chat_template_kwargs"
).split()
INNER = "type function name json regex choice role content x".split()
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(INNER), inner, max_size=2),
    max_leaves=6,
)


@pytest.mark.parametrize(("read", "start"), [(chat_job, ASK), (completion_job, {"prompt": "x"})])
@given(body=st.dictionaries(st.sampled_from(FIELDS), junk))
def test_no_body_crashes_the_reader(read: Any, start: dict[str, Any], body: dict[str, Any]) -> None:
    with contextlib.suppress(Refusal):
        read({**start, **body}, DEFAULTS)


def test_prompts_of_a_text_completion() -> None:
    assert completion_job({"prompt": [1, 2]}, DEFAULTS).prompts == ((1, 2),)
    assert completion_job({"prompt": ["a", [3]]}, DEFAULTS).prompts == ("a", (3,))
    assert completion_job({"prompt": "a"}, DEFAULTS).sampling.max_tokens == 16
    for bad in (None, [], [[]], [{}]):
        with pytest.raises(Refusal):
            completion_job({"prompt": bad}, DEFAULTS)


# --- answers ---

TIMING = Timing(cached_tokens=3, read_tokens=2, prompt_ms=10.0, answer_ms=30.0, total_ms=45.0)


def envelope(**body: Any) -> Envelope:
    return Envelope.of(chat_job({**ASK, **body}, DEFAULTS), "m", [[1, 2, 3, 4, 5]], "fp")


def test_metrics_add_up() -> None:
    figures = TIMING.metrics(4)
    assert figures["queue_time_ms"] == 5.0
    assert figures["mean_itl_ms"] == 10.0
    assert figures["tokens_per_second"] == 100.0
    assert TIMING.metrics(1)["mean_itl_ms"] is None


def test_whole_answer_of_an_aborted_tool_call_has_none() -> None:
    cut = Piece(text='[{"name": "f", "par', finish="length", completion_tokens=5, timing=TIMING)
    choice = envelope(tools=[TOOL], tool_choice="required").full([cut])["choices"][0]
    assert choice["finish_reason"] == "length"
    assert "tool_calls" not in choice["message"]


def test_stream_and_whole_agree_on_awkward_text() -> None:
    """Line separators inside JSON, split surrogates, empty pieces: what came in goes out."""
    texts = ["a\u2028b", "\x85", "", "😀", '"\\', "\n\n"]
    pieces = [Piece(text=text, completion_tokens=n + 1) for n, text in enumerate(texts)]
    pieces.append(Piece(finish="stop", completion_tokens=7, timing=TIMING))
    shared = envelope()
    stream = ChoiceStream(shared, 0)
    out = b"".join(
        [
            *opening(shared, 1),
            *(line for piece in pieces for line in stream.events(piece)),
            *closing(shared, pieces[-1:]),
        ]
    )
    decoder = SSEDecoder()
    data = [data for at in range(0, len(out), 7) for _, data in decoder.feed(out[at : at + 7])]
    assert data.pop() == "[DONE]"
    chunks = [json.loads(item) for item in data]
    text = "".join(choice["delta"].get("content", "") for chunk in chunks for choice in chunk["choices"])
    assert text == "".join(texts) == shared.full([joined(pieces)])["choices"][0]["message"]["content"]
    assert chunks[-1]["usage"]["prompt_tokens_details"] == {"cached_tokens": 3, "created_cache_tokens": 2}
    assert out.endswith(DONE)


async def test_end_travels_with_the_last_token() -> None:
    async def source(*pieces: Piece) -> AsyncIterator[Piece]:
        for piece in pieces:
            yield piece

    one, two = Piece(text="a", completion_tokens=1), Piece(text="b", completion_tokens=2)
    limit = [piece async for piece in steps(source(one, two, Piece(finish="length", completion_tokens=2)), 2)]
    assert [(piece.text, piece.finish) for piece in limit] == [("a", None), ("b", "length")]
    mark = Piece(completion_tokens=3, tokens=(2,))
    ended = [piece async for piece in steps(source(one, two, mark, Piece(finish="stop", completion_tokens=3)), 9)]
    assert [(piece.text, piece.tokens, piece.finish) for piece in ended] == [
        ("a", (), None),
        ("b", (), None),
        ("", (2,), "stop"),
    ]


def test_stop_word_is_the_reason() -> None:
    chunk = {"content": "", "stop": True, "stop_type": "word", "stopping_word": "END", "tokens_predicted": 3}
    chunk |= {"timings": {"cache_n": 0, "prompt_n": 1, "prompt_ms": 1.0, "predicted_ms": 1.0}}
    piece = read_piece(chunk, elapsed_ms=3.0)
    assert (piece.finish, piece.stop_reason, piece.text) == ("stop", "END", "")
    assert read_piece(chunk, elapsed_ms=3.0, keep_stop=True).text == "END"
