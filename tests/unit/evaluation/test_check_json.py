"""The object of `llama70b syllogism check --json`, as others' programs read it: every verdict has the same fields."""

import json

import pytest
from typer.testing import CliRunner

from llama70b.cli import app
from llama70b.evaluation import generate

FIELDS = {
    "reading": (dict, type(None)),
    "countermodel": (dict, type(None)),
    "form": (str, type(None)),
    "needed_premises": (list,),
    "assumptions": (list,),
    "refused": (list,),
}


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("All men are mortal. Socrates is a man. So Socrates is mortal.", "entailed"),
        ("All roses are flowers. Some flowers fade quickly. So some roses fade quickly.", "undetermined"),
        ("All cats are pets. So no cats are pets.", "contradicted"),
        ("All cats are pets. No cats are pets. So all cats are fish.", "inconsistent_premises"),
        ("All cats are pets. All pets are animals. So most cats are animals.", "refused"),
        ("所有玫瑰都是花。有些花很快凋谢。所以有些玫瑰很快凋谢。", "undetermined"),
    ],
)
def test_every_verdict_has_the_same_fields(text: str, verdict: str) -> None:
    result = CliRunner().invoke(app, ["syllogism", "check", "--json", text])
    shown = json.loads(result.stdout)
    assert shown["verdict"] == verdict
    for name, kinds in FIELDS.items():
        assert isinstance(shown[name], kinds), name
    assert (shown["reading"] is None) is (verdict == "refused")
    assert (shown["countermodel"] is not None) is (verdict in ("undetermined", "contradicted"))
    assert bool(shown["refused"]) is (verdict == "refused")
    for refused in shown["refused"]:
        start, end = refused["span"]
        assert text[start:end] == refused["text"]
        assert refused["reason"] == "quantity"
    assert result.exit_code == (1 if verdict == "refused" else 0)


def test_verdict_and_form_of_generated_items() -> None:
    for item in generate(24, seed=8, levels=(0,)):
        assert item.design is not None
        shown = json.loads(CliRunner().invoke(app, ["syllogism", "check", "--json", item.text]).stdout)
        assert (shown["verdict"] == "entailed") is item.valid
        assert shown["form"] == (item.design.stratum if item.valid else item.design.form)
