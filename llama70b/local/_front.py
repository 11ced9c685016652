"""Process of the front: `python -m llama70b.local._front`, started and ended by `LocalEngine`.

Says on standard output, one JSON object a line: `{"port": ...}` once it answers (503 until the model is loaded), then
`{"ready": true}` or `{"failed": "..."}`.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, TextIO

import uvicorn

from llama70b.local import _spawn, _watch
from llama70b.local._app import Engine, Ready, application
from llama70b.local._backend import LlamaCpp
from llama70b.local._render import ChatTemplate, choose_template
from llama70b.local._sampling import Defaults


def _report(channel: TextIO, **message: Any) -> None:
    channel.write(json.dumps(message) + "\n")
    channel.flush()


async def _load(engine: Engine, llama: subprocess.Popen[str], key: str, template: str | None) -> None:
    """Wait for llama.cpp and open the gate.

    Raises:
        RuntimeError: It did not load the model.
    """
    assert llama.stdout is not None
    line = await asyncio.to_thread(llama.stdout.readline)
    said = json.loads(line) if line else {"failed": f"llama.cpp ended with exit code {llama.wait()}"}
    if "failed" in said:
        raise RuntimeError(said["failed"])
    backend = LlamaCpp(said["url"], key)
    props = await backend.props()
    source = template or choose_template(props.get("chat_template", ""))
    compiled = ChatTemplate(source, bos_token=props.get("bos_token", ""), eos_token=props.get("eos_token", ""))
    engine.ready = Ready(backend, compiled, version("xllamacpp"), await backend.vocabulary())


async def _serve(orders: Mapping[str, Any], llama: subprocess.Popen[str], key: str, channel: TextIO) -> None:
    engine = Engine(
        names=tuple(orders["names"]),
        root=orders["root"],
        window=orders["context_window"],
        defaults=Defaults(**orders["defaults"]),
        key=orders["api_key"],
    )
    listener = socket.create_server((orders["host"], orders["port"]))
    config = uvicorn.Config(
        application(engine), log_level="warning", access_log=False, lifespan="off", ws="none", timeout_keep_alive=60
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    # The socket listens already: a client that is quicker than the server waits in its queue.
    _report(channel, port=listener.getsockname()[1])
    try:
        await _load(engine, llama, key, orders["chat_template"])
    except Exception as error:  # noqa: BLE001  (whatever it is, the owner raises it)
        _report(channel, failed=str(error))
        server.should_exit = True
    else:
        _report(channel, ready=True)
    await serving


def main() -> None:
    """Serve until the owner is gone."""
    channel = _watch.claim_stdout()
    orders = _watch.receive_orders()
    key = secrets.token_urlsafe(24)  # between the front and llama.cpp only
    llama = _spawn.spawn(
        "llama70b.local._llama",
        {name: orders[name] for name in ("model", "parallel", "context_window", "threads")} | {"key": key},
    )
    _watch.end_with_owner(lambda: _spawn.stop(llama))
    try:
        asyncio.run(_serve(orders, llama, key, channel))
    except OSError as error:  # the port is taken, or the address is not ours
        _report(channel, failed=f"cannot listen on {orders['host']}:{orders['port']}: {error.strerror}")
    finally:
        _spawn.stop(llama)


if __name__ == "__main__":
    main()
