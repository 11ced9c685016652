"""How much more likely the 70B is to be right than the 8B: two logistic heads over cheap features.

The target is the gap, P(70B right) - P(8B right), never "the 8B fails": that sends prompts which neither solves to the
dear one and is no better than chance (notes/routing_usage 2). A model is data: JSON with its coefficients, where they
come from, under which licence, and how they did on what they had not seen. The one that ships knows nothing of
prompts, only the two models' published means: until a model is fitted (`llama70b router fit`) every prompt has the same
gap, and what decides is which endpoint is awake and what it costs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from llama70b.errors import ConfigurationError
from llama70b.routing.features import FEATURES, Facts, features, has_evidence

_MOST_LOGIT = 30.0
_TOP = 3


@dataclass(frozen=True, slots=True)
class Head:
    """Logistic regression over standardised features: P(right) of one model."""

    bias: float
    weights: tuple[float, ...]

    def logit(self, standardised: Sequence[float]) -> float:
        """Return the log-odds of being right."""
        return self.bias + sum(w * x for w, x in zip(self.weights, standardised, strict=True))


@dataclass(frozen=True, slots=True)
class Gap:
    """What is expected of the two models on one prompt.

    Attributes:
        strong: P(70B right).
        weak: P(8B right).
        abstained: Whether the prompt held nothing to judge by, or the model knows nothing of prompts: then both are
            the models' means.
        top: The features that moved the gap most, with the log-odds they moved it by.
    """

    strong: float
    weak: float
    abstained: bool
    top: tuple[tuple[str, float], ...] = ()

    @property
    def gap(self) -> float:
        """P(70B right) - P(8B right)."""
        return self.strong - self.weak


@dataclass(frozen=True, slots=True)
class GapModel:
    """Coefficients with their provenance.

    Attributes:
        name: What it is called in records.
        names: Features it was trained on, in the order of the weights; none for a model that knows only means.
        mean: Of each feature in training.
        scale: Standard deviation of each.
        strong: Head of the 70B.
        weak: Head of the 8B.
        base: (P(70B right), P(8B right)) where it abstains.
        provenance: Data, licence, sizes, split, held-out figures, date.
    """

    name: str
    names: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    strong: Head
    weak: Head
    base: tuple[float, float]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = set(self.names) - set(FEATURES)
        if unknown:
            raise ConfigurationError(f"the routing model {self.name!r} wants unknown features: {sorted(unknown)}")
        lengths = {len(self.names), len(self.mean), len(self.scale), len(self.strong.weights), len(self.weak.weights)}
        if len(lengths) != 1:
            raise ConfigurationError(f"the routing model {self.name!r} has rows of different length")
        if not all(0 <= p <= 1 for p in self.base) or not all(s > 0 for s in self.scale):
            raise ConfigurationError(f"the routing model {self.name!r} has impossible numbers")

    def judge(self, text: str, facts: Facts | None = None) -> Gap:
        """Return what is expected of both models.

        Args:
            text: The user's turn, without system prompt and retrieved text.
            facts: What is known beside it.
        """
        if not self.names or not has_evidence(text):
            return Gap(*self.base, abstained=True)
        seen = dict(zip(FEATURES, features(text, facts), strict=True))
        x = [(seen[n] - m) / s for n, m, s in zip(self.names, self.mean, self.scale, strict=True)]
        moved = sorted(
            (
                (n, (a - b) * v)
                for n, a, b, v in zip(self.names, self.strong.weights, self.weak.weights, x, strict=True)
            ),
            key=lambda pair: -abs(pair[1]),
        )
        top = tuple((name, round(amount, 3)) for name, amount in moved[:_TOP])
        return Gap(_sigmoid(self.strong.logit(x)), _sigmoid(self.weak.logit(x)), abstained=False, top=top)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON values; `load` reads them back."""
        return {
            "name": self.name,
            "features": list(self.names),
            "mean": list(self.mean),
            "scale": list(self.scale),
            "strong": {"bias": self.strong.bias, "weights": list(self.strong.weights)},
            "weak": {"bias": self.weak.bias, "weights": list(self.weak.weights)},
            "base": {"strong": self.base[0], "weak": self.base[1]},
            "provenance": dict(self.provenance),
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> GapModel:
        """Read a model from JSON values.

        Raises:
            ConfigurationError: Something is missing or impossible.
        """
        try:
            heads = [Head(float(h["bias"]), tuple(map(float, h["weights"]))) for h in (value["strong"], value["weak"])]
            return cls(
                name=str(value["name"]),
                names=tuple(map(str, value["features"])),
                mean=tuple(map(float, value["mean"])),
                scale=tuple(map(float, value["scale"])),
                strong=heads[0],
                weak=heads[1],
                base=(float(value["base"]["strong"]), float(value["base"]["weak"])),
                provenance=dict(value.get("provenance", {})),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(f"this is no routing model: {error!r}") from error


def load(path: str | Path | None = None) -> GapModel:
    """Return the routing model of a file, or the one that ships.

    Args:
        path: A JSON file as `llama70b router fit` writes it; None for the one that ships.

    Raises:
        ConfigurationError: The file cannot be read, or holds no model.
    """
    try:
        source = resources.files("llama70b.routing") / "prior.json" if path is None else Path(path)
        value = json.loads(source.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"the routing model {path or 'that ships'} cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise ConfigurationError(f"the routing model {path} is no JSON object")
    return GapModel.from_dict(value)


def _sigmoid(logit: float) -> float:
    return 1 / (1 + math.exp(-max(-_MOST_LOGIT, min(_MOST_LOGIT, logit))))
