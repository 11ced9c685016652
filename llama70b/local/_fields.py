"""Typed look-ups in a request body, with pydantic's words and its leniency (an integral float is an integer)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llama70b.local._words import Refusal, invalid


@dataclass(frozen=True, slots=True)
class Fields:
    """A request body. An absent field and an explicit null are the same, as in vLLM."""

    body: Mapping[str, Any]

    def number(self, name: str) -> float | None:
        """A finite number."""
        value = self.body.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise invalid(name, "Input should be a valid number", value)
        if not math.isfinite(value):
            raise Refusal(f"{name} must be a finite number, got {value}.", param=name, value=value)
        return float(value)

    def integer(self, name: str) -> int | None:
        """A whole number that fits 64 bits."""
        value = self.body.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not float(value).is_integer():
            raise invalid(name, "Input should be a valid integer", value)
        if not -(2**63) <= value < 2**63:
            raise invalid(name, "Input should be an integer of 64 bits", value)
        return int(value)

    def flag(self, name: str, *, default: bool = False) -> bool:
        """True or false."""
        value = self.body.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise invalid(name, "Input should be a valid boolean", value)
        return value

    def text(self, name: str) -> str | None:
        """A string."""
        value = self.body.get(name)
        if value is not None and not isinstance(value, str):
            raise invalid(name, "Input should be a valid string", value)
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A string or a list of strings."""
        value = self.body.get(name)
        if value is None:
            return ()
        if isinstance(value, str):
            return (value,)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise invalid(name, "Input should be a valid list of strings", value)
        return tuple(value)
