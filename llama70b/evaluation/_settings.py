"""What a run fixes for all its arms."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from llama70b.syllogism import Import


@dataclass(frozen=True, slots=True)
class Settings:
    """The options that change answers; a run is only continued with the same ones.

    Attributes:
        import_: Convention of existential import.
        temperature: Sampling temperature; 0 is greedy.
        seed: Seed of the sampler.
        max_tokens: Most tokens of a written-out answer (chain of thought, rules).
        agent_tokens: Most tokens of each of an agent's answers.
        tool_use: Whether the agents' model decides to call the checker, or must (for very small models).
        max_rounds: Most rounds of tool calls of an agent.
    """

    import_: Import = "all_terms"
    temperature: float = 0.0
    seed: int = 0
    max_tokens: int = 512
    agent_tokens: int = 512
    tool_use: Literal["auto", "forced"] = "auto"
    max_rounds: int = 4

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-able object."""
        return asdict(self)

    @classmethod
    def of(cls, value: dict[str, Any]) -> Settings:
        """Read it back from `to_dict`'s object."""
        return cls(**{field.name: value[field.name] for field in fields(cls) if field.name in value})
