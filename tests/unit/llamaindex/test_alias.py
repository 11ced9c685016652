"""The name under which LlamaIndex's users look for an integration."""

from __future__ import annotations

from pathlib import Path

import llama_index.core

import llamaindex_llama70b


def test_both_names_are_one_class() -> None:
    from llama_index.llms.llama70b import Llama70B

    assert Llama70B is llamaindex_llama70b.Llama70B


def test_the_namespace_stays_open() -> None:
    """An `__init__.py` in either folder would hide every other integration."""
    import llama_index.llms.llama70b as alias

    assert alias.__file__ is not None
    ours = Path(alias.__file__).parents[2]
    assert sorted(path.name for path in ours.rglob("*.py")) == ["__init__.py"]
    assert llama_index.core.__file__ is not None
    assert not Path(llama_index.core.__file__).is_relative_to(ours)
