"""`python -m llama70b`, and the command `llama70b`."""

from __future__ import annotations

import importlib
import sys

from llama70b.errors import MissingExtra

TROUBLE, INTERRUPTED = 2, 130


def main() -> None:
    """Run the command line; ends the process with the command's exit code."""
    try:
        for package in ("typer", "rich"):
            try:
                importlib.import_module(package)
            except ImportError as error:
                raise MissingExtra("the command line", "cli") from error
        importlib.import_module("llama70b.cli").run()
    except MissingExtra as error:
        print(f"llama70b: {error}", file=sys.stderr)  # noqa: T201 - the command line's own output
        sys.exit(TROUBLE)
    except KeyboardInterrupt:  # while the parts were being imported
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
