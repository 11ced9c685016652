"""Errors survive pickling and copying, and are also what the standard library calls them."""

import copy
import inspect
import pickle

import pytest

from llama70b import ToolCall, Usage, errors

ALL = [c for _, c in inspect.getmembers(errors, inspect.isclass) if issubclass(c, errors.Llama70BError)]


def build(kind: type[errors.Llama70BError]) -> errors.Llama70BError:
    if kind is errors.MissingExtra:
        return errors.MissingExtra("the local engine", "local")
    return kind("what was wrong", hint="do this", status=418, request_id="r1", body={"a": 1})


@pytest.mark.parametrize("kind", ALL)
def test_every_error_survives_pickle_and_copy(kind: type[errors.Llama70BError]) -> None:
    error = build(kind)
    error.text, error.tool_calls, error.usage = "partial", (ToolCall("a", "b", "{"),), Usage(1, 2)
    if isinstance(error, errors.ContextOverflow):
        error.prompt_tokens = 5000
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(other) is kind
        assert str(other) == str(error)
        assert other.__dict__ == error.__dict__
        assert other.args == error.args


@pytest.mark.parametrize(
    ("kind", "base"),
    [
        (errors.ConfigurationError, ValueError),
        (errors.MissingExtra, ImportError),
        (errors.BadRequest, ValueError),
        (errors.ContextOverflow, ValueError),
        (errors.ConnectionFailed, ConnectionError),
        (errors.RequestTimeout, TimeoutError),
        (errors.StreamStalled, TimeoutError),
    ],
)
def test_standard_bases(kind: type[errors.Llama70BError], base: type[Exception]) -> None:
    assert isinstance(build(kind), base)


def test_text_and_attributes() -> None:
    error = errors.RateLimited("slow down", hint="wait", retry_after=2.0)
    assert str(error) == "slow down (wait)"
    assert error.args == ("slow down",)
    assert (error.text, error.tool_calls, error.usage, error.retry_after) == ("", (), None, 2.0)
    assert str(errors.ServerError("x")) == "x"
    assert "pip install 'llama70b[local]'" in str(errors.MissingExtra("it", "local"))


def test_the_tree_drawn_is_the_tree() -> None:
    drawn = {word for word in (errors.__doc__ or "").replace("─", " ").split() if word in {c.__name__ for c in ALL}}
    assert drawn == {c.__name__ for c in ALL}
