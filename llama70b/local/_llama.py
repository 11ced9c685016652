"""Process that holds llama.cpp: `python -m llama70b.local._llama`, started and ended by the front.

A process of its own because loading a model keeps Python's global lock, and because a crash in native code must become
an error answer, not the end of the front.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import Any, TextIO

from llama70b.local import _watch


def parameters(orders: Mapping[str, Any]) -> Any:
    """llama.cpp's settings for a model: one slot of the full context window per parallel request."""
    import xllamacpp  # noqa: PLC0415  (34 MB of native code, in this process only)

    settings = xllamacpp.CommonParams()
    settings.model.path = orders["model"]
    settings.n_parallel = orders["parallel"]
    settings.n_ctx = orders["context_window"] * orders["parallel"]
    settings.hostnames = ["127.0.0.1"]
    settings.port = 0
    settings.api_keys = [orders["key"]]
    # One processor less for writing, which memory limits: threads that spin for a busy processor cost 30 times that.
    settings.cpuparams.n_threads = max(1, orders["threads"] - 1)
    settings.cpuparams_batch.n_threads = orders["threads"]
    # Between batches llama.cpp looks whether a request is still wanted: small ones let it stop soon.
    settings.n_batch = settings.n_ubatch = 256
    # Prompts come as tokens and answers go out as text: templates and tool parsing are the front's.
    settings.use_jinja = False
    settings.ui = False
    return settings


def _report(channel: TextIO, **message: Any) -> None:
    channel.write(json.dumps(message) + "\n")
    channel.flush()


def main() -> None:
    """Load the model, say where it listens, stay until the front is gone."""
    channel = _watch.claim_stdout()
    orders = _watch.receive_orders()
    _watch.end_with_owner(lambda: None)
    try:
        import xllamacpp  # noqa: PLC0415

        server = xllamacpp.Server(parameters(orders))
    except Exception as error:  # noqa: BLE001  (whatever it is, the front passes it on)
        _report(channel, failed=f"{type(error).__name__}: {error}")
        return
    _report(channel, url=server.listening_address)
    threading.Event().wait()


if __name__ == "__main__":
    main()
