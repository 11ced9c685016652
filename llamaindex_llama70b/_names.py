"""Names of arguments: which are read, which are other names of those, and what to say of the rest.

vLLM silently ignores fields it does not know, so a misspelt `temprature` would change nothing and say nothing.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from llama70b.errors import ConfigurationError

ALIASES = {
    "api_base": "base_url",
    "max_completion_tokens": "max_tokens",
    "model_name": "model",
    "request_timeout": "timeout",
    "stop_sequences": "stop",
}
"""Names that other integrations use for the same thing."""

_FIXED = frozenset(
    (
        "base_url",
        "api_key",
        "modal_key",
        "modal_secret",
        "ingress",
        "allow_insecure",
        "max_connections",
        "context_window",
        "price_per_hour",
    )
)
_IGNORED = frozenset(("stream", "stream_options"))  # the method called decides; usage is always asked for


def renamed(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments by our names, without those that are None or decided otherwise."""
    return {
        ALIASES.get(name, name): value for name, value in given.items() if value is not None and name not in _IGNORED
    }


def check_names(names: Iterable[str], known: Iterable[str], where: str) -> None:
    """Refuse arguments that nobody would read; `guided_*` pass, the core refuses them and says why.

    Args:
        names: What was given.
        known: What is read.
        where: For the error text.

    Raises:
        ConfigurationError: With the nearest name, or the way round.
    """
    known = set(known)
    for name in names:
        if name in known or name.startswith("guided_"):
            continue
        if name in _FIXED:
            raise ConfigurationError(
                f"{name} cannot be changed by a call", hint="credentials and URL belong together: make another model"
            )
        near = difflib.get_close_matches(name, sorted(known), n=1)
        hint = f"did you mean {near[0]}?" if near else "a field of a newer vLLM goes into extra_body={...}"
        raise ConfigurationError(f"{where} has an unknown argument {name!r}", hint=hint)
