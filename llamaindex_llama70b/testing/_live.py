"""Behaviours on a server that is running, whatever its model: what the wire and the constraints guarantee."""

# ruff: noqa: PLR2004 - numbers of tokens

from __future__ import annotations

import asyncio
import os
import re
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from llama_index.core.base.llms.types import ChatMessage, ToolCallBlock
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler

from llamaindex_llama70b.testing._suite import Make, Suite, failure, refused, run, usage_of

QUESTION = "What is the capital of France?"
ASKED = (ChatMessage(role="user", content=QUESTION),)
MANY = 16


class Live(Suite):
    """The live suite's server and models. The fixture `server_address` says where."""

    greedy: ClassVar[dict[str, Any]] = {"temperature": 0, "max_tokens": 24}
    """Constructor arguments of every model: short answers, the same each time."""

    @pytest.fixture
    def server_address(self) -> tuple[str, str, str]:
        """Return (base_url with /v1, api_key, served model name): LLM_CONFORMANCE_URL, _KEY and _MODEL."""
        found = [os.environ.get(f"LLM_CONFORMANCE_{name}", "") for name in ("URL", "KEY", "MODEL")]
        assert all(found), "set LLM_CONFORMANCE_URL, _KEY and _MODEL, or override the fixture server_address"
        return found[0], found[1], found[2]

    @pytest.fixture
    def make(self, server_address: tuple[str, str, str]) -> Iterator[Make]:
        """Make models on the server; closed at the end if they can be."""
        base_url, api_key, model = server_address
        made: list[Any] = []

        def make_one(*, api_key: str = api_key, **options: Any) -> Any:
            made.append(self.make_llm(base_url, api_key, **{"model": model, **self.greedy, **options}))
            return made[-1]

        yield make_one
        for llm in made:
            self.close_llm(llm)

    @pytest.fixture
    def llm(self, make: Make) -> Any:
        """A greedy model."""
        return make()


class LiveAnswers(Live):
    """Answers, counts, constraints and refusals of a real server."""

    def test_live_chat(self, llm: Any) -> None:
        """`chat` and `complete` answer, and say the same."""
        text = llm.chat(list(ASKED)).message.content
        assert text.strip()
        assert llm.complete(QUESTION).text == text

    def test_live_async(self, llm: Any) -> None:
        """`achat` and `acomplete` say what `chat` says."""
        text = llm.chat(list(ASKED)).message.content
        assert run(llm, lambda: llm.achat(list(ASKED))).message.content == text
        assert run(llm, lambda: llm.acomplete(QUESTION)).text == text

    def test_live_streams(self, llm: Any) -> None:
        """Streams say what `chat` says, in several pieces."""
        text = llm.chat(list(ASKED)).message.content
        elements = list(llm.stream_chat(list(ASKED)))
        assert "".join(element.delta or "" for element in elements) == text
        assert len(elements) > 2
        assert list(llm.stream_complete(QUESTION))[-1].text == text

    def test_live_async_streams(self, llm: Any) -> None:
        """Awaited streams say what `chat` says."""

        async def main() -> str:
            return "".join([element.delta or "" async for element in await llm.astream_chat(list(ASKED))])

        assert run(llm, main) == llm.chat(list(ASKED)).message.content

    def test_live_usage(self, llm: Any) -> None:
        """A whole answer says its tokens."""
        prompt, completion = usage_of(llm.chat(list(ASKED)))
        assert prompt > 5
        assert 0 < completion <= 24

    def test_live_usage_in_streams(self, llm: Any) -> None:
        """A streamed answer says the same tokens."""
        assert usage_of(list(llm.stream_chat(list(ASKED)))[-1]) == usage_of(llm.chat(list(ASKED)))

    def test_live_token_counting_handler(self, make: Make) -> None:
        """`TokenCountingHandler` has the server's counts after a stream."""
        counter = TokenCountingHandler()
        list(make(callback_manager=CallbackManager([counter])).stream_chat(list(ASKED)))
        prompt, completion = usage_of(make().chat(list(ASKED)))
        assert (counter.prompt_llm_token_count, counter.completion_llm_token_count) == (prompt, completion)

    def test_live_max_tokens_of_a_call(self, llm: Any) -> None:
        """`max_tokens` of a call is obeyed."""
        assert usage_of(llm.chat(list(ASKED), max_tokens=3))[1] == 3

    def test_live_finish_reason(self, llm: Any) -> None:
        """A cut-off answer says `length`."""
        assert llm.chat(list(ASKED), max_tokens=2).additional_kwargs["finish_reason"] == "length"

    def test_live_stop(self, llm: Any) -> None:
        """`stop` ends the answer."""
        text = llm.complete(QUESTION).text
        word = text.split()[2]
        assert llm.complete(QUESTION, stop=[word]).text == text.split(word)[0]

    def test_live_greedy_repeats(self, llm: Any) -> None:
        """The same request gets the same answer at temperature 0."""
        assert len({llm.complete(QUESTION, temperature=0).text for _ in range(3)}) == 1

    def test_live_system_prompt(self, make: Make) -> None:
        """`system_prompt` reaches the model in `chat`."""
        text = "You are a lighthouse keeper who counts ships all day long and writes every one of them down."
        longer = usage_of(make(system_prompt=text).chat(list(ASKED), max_tokens=1))[0]
        assert longer > usage_of(make().chat(list(ASKED), max_tokens=1))[0]

    def test_live_unicode(self, llm: Any) -> None:
        """Text of any script is taken."""
        assert llm.complete("Übersetze: 你好 🦙", max_tokens=4).text is not None

    def test_live_logprobs(self, llm: Any) -> None:
        """Log-probabilities come back, one a token."""
        answer = llm.chat(list(ASKED), logprobs=True, top_logprobs=2, max_tokens=4)
        assert len(answer.logprobs) == 4
        assert "".join(token[0].token for token in answer.logprobs) == answer.message.content

    def test_live_many_at_once(self, llm: Any) -> None:
        """16 awaited calls at once are all answered."""

        async def many() -> list[Any]:
            return await asyncio.gather(*(llm.acomplete(f"{n}?", max_tokens=4) for n in range(MANY)))

        assert len(run(llm, many)) == MANY

    def test_live_threads(self, llm: Any) -> None:
        """Threads stream at the same time over one model."""
        texts: list[str] = []
        threads = [
            threading.Thread(target=lambda: texts.append(list(llm.stream_complete(QUESTION))[-1].text))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(texts) == 4
        assert len(set(texts)) == 1

    def test_live_several_loops(self, llm: Any) -> None:
        """A model works in several event loops one after the other."""
        texts = {run(llm, lambda: llm.acomplete(QUESTION)).text for _ in range(3)}
        assert len(texts) == 1

    def test_live_leaving_early(self, llm: Any) -> None:
        """Streams left early leave the server and the model usable."""
        text = llm.complete(QUESTION).text
        for _ in range(3):
            stream = llm.stream_complete("Count to one hundred.", max_tokens=200)
            next(stream)
            stream.close()
        assert llm.complete(QUESTION).text == text

    def test_live_choice(self, llm: Any) -> None:
        """A guided choice is obeyed."""
        assert llm.complete("Name a fruit.", **self.constrained("choice", ["lemon", "melon"])).text in {
            "lemon",
            "melon",
        }

    def test_live_regex(self, llm: Any) -> None:
        """A guided regex is obeyed, streamed."""
        wanted = "[0-9]{4}-[01][0-9]"
        text = list(llm.stream_complete("A month?", **self.constrained("regex", wanted)))[-1].text
        assert re.fullmatch(wanted, text)

    def test_live_bad_regex(self, llm: Any) -> None:
        """A regex that cannot be compiled is an error."""
        failure(lambda: llm.complete("hi", **self.constrained("regex", "(")))

    def test_live_removed_guided_fields(self, llm: Any) -> None:
        """`guided_choice`, which current vLLM drops silently, is refused, or does what it says."""
        texts: list[str] = []
        given = {"extra_body": {"guided_choice": ["lemon", "melon"]}}
        said = refused(lambda: texts.append(llm.complete(QUESTION, **given).text))
        assert said is not None or texts[0] in {"lemon", "melon"}

    def test_live_window(self, server_address: tuple[str, str, str]) -> None:
        """`metadata.context_window` is the server's, without being told."""
        base_url, api_key, model = server_address
        llm = self.make_llm(base_url, api_key, model=model)
        assert 4096 - 128 <= llm.metadata.context_window <= 4096

    def test_live_overflow(self, llm: Any) -> None:
        """A prompt over the window raises an error of a class of its own."""
        long = failure(lambda: llm.complete("word " * 5000))
        other = failure(lambda: llm.complete("hi", temperature=-1.0))
        assert type(long) is not type(other)
        assert "4096" in str(long)

    def test_live_overflow_in_a_stream(self, llm: Any) -> None:
        """A prompt over the window raises when streamed too."""
        failure(lambda: list(llm.stream_complete("word " * 5000)))

    def test_live_max_tokens_over_the_window(self, llm: Any) -> None:
        """`max_tokens` over the window is an error or an answer, and never a silent hang."""
        said = refused(lambda: llm.complete(QUESTION, max_tokens=5000, stop=["."]))
        assert said is None or "max_tokens" in said or "4096" in said

    def test_live_wrong_key(self, make: Make) -> None:
        """A wrong key is an error, soon."""
        failure(lambda: make(api_key="not-the-key").complete("hi"))

    def test_live_wrong_model(self, make: Make) -> None:
        """A model that is not served is an error that names it."""
        assert "no-such-model" in str(failure(lambda: make(model="no-such-model").complete("hi")))

    def test_live_two_calls_in_history(self, llm: Any) -> None:
        """A history with two calls in one turn is taken."""
        blocks = [ToolCallBlock(tool_call_id=f"c{n}", tool_name="add", tool_kwargs={"a": n}) for n in (1, 2)]
        told = [ChatMessage(role="tool", content=f"{n}", additional_kwargs={"tool_call_id": f"c{n}"}) for n in (1, 2)]
        history = [ChatMessage("x"), ChatMessage(role="assistant", blocks=blocks), *told]
        assert llm.chat(history, max_tokens=4).message.content is not None
