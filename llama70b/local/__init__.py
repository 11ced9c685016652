"""A small engine on this machine: llama.cpp behind vLLM's API (extra `[local]`).

Importing this needs nothing but the base package; using it without the extra raises `MissingExtra` with the line that
installs it.
"""

from llama70b.local.engine import LocalEngine, run_foreground
from llama70b.local.models import DEFAULT_NAME, ModelFile, cache_dir, default_model, fetch_model, resolve_model

__all__ = [
    "DEFAULT_NAME",
    "LocalEngine",
    "ModelFile",
    "cache_dir",
    "default_model",
    "fetch_model",
    "resolve_model",
    "run_foreground",
]
