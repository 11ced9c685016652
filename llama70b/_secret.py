"""A credential that cannot be printed, logged or pickled by accident."""

from __future__ import annotations

import hmac
from typing import NoReturn

from llama70b.errors import ConfigurationError


class Secret:
    """A credential: shows as `**********` everywhere, gives its value only to `get_secret_value`.

    Copying (`copy`, `deepcopy`) returns the same object; pickling is refused, because a pickle is a file.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str, *, name: str = "the key") -> None:
        """Take the value, stripped of surrounding white space.

        Args:
            value: The credential.
            name: What it is called in the error text, never the value itself.

        Raises:
            ConfigurationError: It is empty or holds something a header cannot carry.
        """
        self._value, value = value.strip(), ""  # an error raised here may be printed with this frame's variables
        if not self._value:
            raise ConfigurationError(f"{name} is empty", hint="leave it out or give a real one")
        # httpx would refuse such a header too, but print its value in the error text.
        if not (self._value.isascii() and self._value.isprintable()):
            raise ConfigurationError(f"{name} holds a line break or a character outside printable ASCII")

    def get_secret_value(self) -> str:
        """Return the credential in the clear (pydantic's name for it)."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('**********')"

    def __str__(self) -> str:
        return "**********"

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __eq__(self, other: object) -> bool:
        """Compare in constant time."""
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value, other._value)

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled: give the key again, or set it in the environment, on the other side")
