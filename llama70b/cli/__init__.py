"""The command line (extra `[cli]`): `llama70b --help`."""

from llama70b.cli._app import app, run

__all__ = ["app", "run"]
