"""The names this provider goes by."""

PROVIDER = "llama70b"
"""`ls_provider` and `model_provider`: equal, because SummarizationMiddleware trusts reported usage only then."""

COLD_START_EVENT = "llama70b_cold_start"
"""Name of the LangChain custom event that tells of a cold start."""
