"""Errors of the server side.

ServerError
├── ConfigurationError    a setting that cannot work; nothing was deployed or billed
├── EngineFailed          vLLM ended, or did not become ready in time
└── PreflightError        the hub or Modal lacks what the deployment needs
"""


class ServerError(Exception):
    """Base of all errors that `server` raises on purpose."""


class ConfigurationError(ServerError):
    """A setting that cannot work. The message says what was wrong and what fits instead."""


class EngineFailed(ServerError):
    """vLLM ended or never became ready. The message carries the end of its log."""


class PreflightError(ServerError):
    """Something the deployment needs does not exist: a secret, a revision, downloaded weights."""
