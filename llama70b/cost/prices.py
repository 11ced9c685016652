"""What a container's second costs, and what an API would ask for the same tokens: dated data, with an override."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from llama70b.errors import ConfigurationError

PER_HOUR, PROFILE, WINDOW, FILE = "PRICE_PER_HOUR", "PROFILE", "WINDOW", "LLAMA70B_PRICES"
_NANO = 1_000_000_000
_HOUR_S = 3600
_MTOK = 1_000_000

Size = Literal["70b", "8b"]
"""Which of the two models something is about."""


@dataclass(frozen=True, slots=True)
class Price:
    """What one container costs while it is up, working or not.

    Attributes:
        nano_per_s: Nanodollars a second.
        source: Who says so, and when.
    """

    nano_per_s: int
    source: str

    @classmethod
    def per_hour(cls, dollars: float, source: str = "given") -> Price:
        """Return a price given in dollars an hour.

        Raises:
            ConfigurationError: It is not a finite number, 0 or above.
        """
        if isinstance(dollars, bool) or not isinstance(dollars, int | float) or not 0 <= dollars < math.inf:
            raise ConfigurationError(f"the price is {dollars!r}: give dollars an hour, 0 or more")
        return cls(round(dollars * _NANO / _HOUR_S), source)

    @property
    def dollars_per_hour(self) -> float:
        """Dollars an hour."""
        return self.nano_per_s * _HOUR_S / _NANO


@dataclass(frozen=True, slots=True)
class ProfilePrice:
    """A deployment profile with what it costs; the names are those of `server/profiles.py`.

    Attributes:
        name: The profile's.
        price: Of one container: GPUs, reserved cores and memory.
        gpu_only: Of its GPUs alone, as price lists quote it.
        size: Which model.
        window_s: Scaledown window it is deployed with.
        boot_s: Cold start to reckon with until the ledger has seen some.
        tok_s: Tokens a second of one answer alone.
    """

    name: str
    price: Price
    gpu_only: Price
    size: Size
    window_s: float
    boot_s: float
    tok_s: float


@dataclass(frozen=True, slots=True)
class ApiPrice:
    """What a token API asks.

    Attributes:
        provider: Who.
        model: Of which model.
        size: Which of ours that is.
        input_mtok: Dollars for a million tokens read.
        output_mtok: Dollars for a million tokens written.
        as_of: When that was looked up.
        source: Where.
        until: When the offer ends or ended (ISO date), None if no end is announced.
    """

    provider: str
    model: str
    size: Size
    input_mtok: float
    output_mtok: float
    as_of: str
    source: str
    until: str | None = None

    def nano(self, prompt_tokens: int, completion_tokens: int) -> int:
        """Return nanodollars for so many tokens."""
        dollars = (prompt_tokens * self.input_mtok + completion_tokens * self.output_mtok) / _MTOK
        return round(dollars * _NANO)

    def offered(self, on: date) -> bool:
        """Return whether it was still offered on a day."""
        return self.until is None or on < date.fromisoformat(self.until)


@dataclass(frozen=True, slots=True)
class PriceTable:
    """All prices we know of.

    Attributes:
        profiles: By name.
        apis: Cheapest last; the order of the file.
        as_of: When the platform's prices were looked up.
        source: Where.
    """

    profiles: Mapping[str, ProfilePrice]
    apis: tuple[ApiPrice, ...]
    as_of: str
    source: str

    def profile(self, name: str) -> ProfilePrice:
        """Return a profile by its name.

        Raises:
            ConfigurationError: There is none of that name.
        """
        found = self.profiles.get(name)
        if found is None:
            raise ConfigurationError(f"no price for a profile {name!r}", hint=f"known: {', '.join(self.profiles)}")
        return found


def price_table(path: str | os.PathLike[str] | None = None) -> PriceTable:
    """Return the prices: the package's own, and over them those of a file.

    Args:
        path: JSON of the same form as `prices.json`; None takes what `LLAMA70B_PRICES` names, if anything.

    Raises:
        ConfigurationError: The file cannot be read, or says something impossible.
    """
    named = os.environ.get(FILE, "").strip() if path is None else os.fspath(path)
    return _table(str(named))


@lru_cache(maxsize=8)
def _table(path: str) -> PriceTable:
    data = json.loads(resources.files("llama70b.cost").joinpath("prices.json").read_text("utf-8"))
    try:
        if path:
            _overlay(data, json.loads(Path(path).expanduser().read_text("utf-8")))
        return _read(data)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f"the prices in {path} cannot be used: {type(error).__name__}: {error}",
            hint="the form is that of llama70b/cost/prices.json",
        ) from error


def _overlay(data: dict[str, Any], over: Mapping[str, Any]) -> None:
    """Put one object over another, entry by entry; lists are replaced."""
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(data.get(key), dict):
            _overlay(data[key], value)
        else:
            data[key] = value


def _read(data: Mapping[str, Any]) -> PriceTable:
    rates = data["resources"]
    source = f"{rates['source']}, {rates['as_of']}"

    def profile(name: str, of: Mapping[str, Any]) -> ProfilePrice:
        gpus = of["gpus"] * rates["gpu_s"][of["gpu"]]
        whole = gpus + of["cpu_cores"] * rates["cpu_core_s"] + of["memory_gib"] * rates["memory_gib_s"]
        if "per_hour" in of:  # a contract's own price
            whole = of["per_hour"] / _HOUR_S
        return ProfilePrice(
            name,
            Price(_nano(whole), f"profile {name}, {source}"),
            Price(_nano(gpus), f"{of['gpus']} x {of['gpu']}, {source}"),
            of["size"],
            float(of["window_s"]),
            float(of["boot_s"]),
            float(of["tok_s"]),
        )

    return PriceTable(
        {name: profile(name, of) for name, of in data["profiles"].items()},
        tuple(ApiPrice(**entry) for entry in data["apis"]),
        rates["as_of"],
        rates["source"],
    )


def _nano(dollars: float) -> int:
    if not 0 <= dollars < math.inf:
        raise ValueError(f"a price of {dollars!r}")
    return round(dollars * _NANO)


def size_of(model: str) -> Size:
    """Return which of the two a served name means; whatever is not an 8B is taken for the 70B."""
    return "8b" if "8b" in model.lower() and "70b" not in model.lower() else "70b"


@dataclass(frozen=True, slots=True)
class Deployment:
    """What is known of the container behind an endpoint without asking it.

    Attributes:
        price: While it is up; None if nobody said.
        window_s: Seconds without work until it sleeps.
        boot_s: Seconds of a cold start, to reckon with until some were seen.
        size: Which model.
        source: Where window and boot time are from.
    """

    price: Price | None
    window_s: float
    boot_s: float
    size: Size
    source: str


def deployment_from_env(*, model: str = "", environ: Mapping[str, str] | None = None) -> Deployment:
    """Return what the environment says of a deployment; the original one's window where it says nothing.

    Besides the variables of `price_from_env`, `LLAMA70B_WINDOW` (`LLAMA8B_WINDOW`) gives the scaledown window in
    seconds where it is not the profile's.

    Raises:
        ConfigurationError: A number is none.
    """
    env = os.environ if environ is None else environ
    size = size_of(model)
    prefix = "LLAMA8B" if size == "8b" else "LLAMA70B"
    name = env.get(f"{prefix}_{PROFILE}", "").strip()
    profiles = price_table().profiles
    known = name in profiles
    profile = profiles[name if known else "8b" if size == "8b" else "a100x2-bf16"]
    window, source = profile.window_s, f"profile {profile.name}" + ("" if known else " (assumed)")
    said = env.get(f"{prefix}_{WINDOW}", "").strip()
    if said:
        try:
            window, source = float(said), f"{prefix}_{WINDOW}"
        except ValueError:
            window = -1.0
        if not 0 <= window < math.inf:
            raise ConfigurationError(f"{prefix}_{WINDOW} is {said!r}: give seconds, 0 or more")
    price = price_from_env(model=model, environ=env)
    return Deployment(price, window, profile.boot_s, size, source)


def price_from_env(
    *, model: str = "", prefix: str | None = None, environ: Mapping[str, str] | None = None
) -> Price | None:
    """Return what the environment says a container costs, None if it says nothing.

    `LLAMA70B_PRICE_PER_HOUR` (dollars), else the price of the profile `LLAMA70B_PROFILE` names; for the small sibling
    `LLAMA8B_PRICE_PER_HOUR` and `LLAMA8B_PROFILE`. No price is ever assumed: a profile we have no price of has none.

    Args:
        model: The served name, which decides between the two.
        prefix: `LLAMA70B` or `LLAMA8B`, instead of deciding by the name.
        environ: Instead of `os.environ`.

    Raises:
        ConfigurationError: The price is no number.
    """
    env = os.environ if environ is None else environ
    prefix = prefix or ("LLAMA8B" if size_of(model) == "8b" else "LLAMA70B")
    said = env.get(f"{prefix}_{PER_HOUR}", "").strip()
    if said:
        try:
            dollars = float(said)
        except ValueError:
            raise ConfigurationError(f"{prefix}_{PER_HOUR} is {said!r}: give dollars an hour") from None
        return Price.per_hour(dollars, f"{prefix}_{PER_HOUR}")
    name = env.get(f"{prefix}_{PROFILE}", "").strip()
    known = price_table().profiles.get(name)
    return known.price if known is not None else None
