"""One small engine for the blocks of all pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from llama70b import Secret


@pytest.fixture(scope="session")
def engine_environ() -> Iterator[dict[str, str]]:
    """The variables that point a block to a local engine, exactly as they would point it to a real endpoint."""
    from llama70b.local import LocalEngine

    with LocalEngine(progress=False) as endpoint:
        assert isinstance(endpoint.api_key, Secret)
        yield {
            "LLAMA70B_BASE_URL": endpoint.base_url,
            "LLAMA70B_API_KEY": endpoint.api_key.get_secret_value(),
            "LLAMA70B_MODEL": endpoint.model,
            "LLAMA70B_LEDGER": "off",
        }
