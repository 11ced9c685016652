"""Optional packages of the extra `[local]`, imported when used and named when missing."""

from __future__ import annotations

import importlib
from typing import Any

from llama70b.errors import MissingExtra


def load(module: str, what: str, extra: str = "local") -> Any:
    """Import a package of an extra.

    Args:
        module: Its import name.
        what: What needs it, as the subject of a sentence.
        extra: The extra of this distribution that installs it.

    Returns:
        The module.

    Raises:
        MissingExtra: It is not installed; the message holds the line that installs it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtra(what, extra) from error
