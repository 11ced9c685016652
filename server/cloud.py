"""What `server.app` does inside its containers: the parts with Modal in them that are not the tutorial."""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import modal

from server import names
from server.capacity import cold_start_s
from server.command import EngineSettings, build
from server.engine import Engine
from server.errors import ServerError
from server.gpus import obtained
from server.settings import Deployment, sources
from server.status import Store
from server.weights import require

PORT = 8000


class DictStore:
    """Records in a `modal.Dict`, so that the gateway sees what the GPU container writes."""

    def __init__(self, dictionary: modal.Dict, prefix: str) -> None:
        self._dictionary, self._prefix = dictionary, prefix

    def get(self, key: str) -> dict[str, Any] | None:
        """The value, or None."""
        value: dict[str, Any] | None = self._dictionary.get(f"{self._prefix}/{key}")
        return value

    def put(self, key: str, value: dict[str, Any]) -> None:
        """Replace the value."""
        self._dictionary[f"{self._prefix}/{key}"] = value


def store(deployment: Deployment) -> DictStore:
    """The deployment's records."""
    return DictStore(modal.Dict.from_name(names.STATUS_DICT, create_if_missing=True), deployment.app_name)


def server_handle(deployment: Deployment) -> modal.Server:
    """The deployed server, by name."""
    return modal.Server.from_name(deployment.app_name, names.SERVER_CLASS)


def start_engine(deployment: Deployment, *, hub_dir: Path, cache_dir: Path) -> Engine:
    """Start vLLM in this container.

    Args:
        deployment: What is served.
        hub_dir: Where the weights are mounted.
        cache_dir: Where compiled code survives.

    Returns:
        The supervisor of a ready engine.

    Raises:
        ServerError: Weights are missing, the GPUs are too few, or vLLM failed; a held container is let go first.
    """
    records = store(deployment)
    let_go = lease_keeper(records, lambda: server_handle(deployment).autoscaler.update(min_containers=0))
    gpu, count = obtained()
    try:
        require(hub_dir, [(source.repo, source.revision) for source in sources(deployment)], names.DOWNLOAD)
        settings = EngineSettings(
            host="0.0.0.0",  # noqa: S104 - Modal's proxy is the only way in
            port=PORT,
            hub_dir=hub_dir,
            cache_dir=cache_dir,
            speculative=deployment.speculative,
        )
        engine = Engine(
            build(deployment.profile, settings, gpu=gpu, gpu_count=count),
            port=PORT,
            model=deployment.profile.served_names[0],
            store=records,
            startup_timeout_s=deployment.profile.startup_timeout_s,
            on_death=_end_container,
            on_heartbeat=let_go,
        )
        engine.start()
    except ServerError:
        # A lease on a server that cannot boot would start GPU after GPU.
        let_go(force=True)
        raise
    return engine


def lease_keeper(records: Store, release: Callable[[], object]) -> Callable[..., None]:
    """Make the function that ends an expired lease.

    The container that a lease keeps up checks the lease itself: what costs the money also ends it, no timer elsewhere
    can be forgotten.

    Args:
        records: Where the gateway wrote the lease.
        release: Lets the containers scale to zero again.

    Returns:
        A function to call often; `force=True` ends the lease early.
    """

    def check(*, force: bool = False) -> None:
        lease = records.get("lease")
        if lease and not lease.get("released") and (force or time.time() > lease["until"]):
            release()
            records.put("lease", {**lease, "released": True})

    return check


def _end_container(reason: str) -> None:
    """The engine died: a container without it would hold the port's place and be billed."""
    sys.stderr.write(f"{reason}\n")
    sys.stderr.flush()
    os._exit(1)


def build_gateway(deployment: Deployment) -> Any:
    """The gateway's ASGI application, from the Secret `llama70b-gateway`."""
    from server.gateway import Config, Gateway  # noqa: PLC0415 - the GPU image has no starlette of ours
    from server.gateway_rules import digest_keys  # noqa: PLC0415

    url = server_handle(deployment).get_url()
    if url is None:
        raise ServerError(f"{deployment.app_name} has no URL; run: modal deploy -m server.app")
    headers = {"Modal-Key": os.environ["LLAMA70B_MODAL_KEY"], "Modal-Secret": os.environ["LLAMA70B_MODAL_SECRET"]}
    if key := os.environ.get("VLLM_API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    config = Config(
        upstream=url.rstrip("/"),
        upstream_headers=headers,
        keys=digest_keys(json.loads(os.environ["LLAMA70B_GATEWAY_KEYS"])),
        served_names=deployment.profile.served_names,
        boot_s=cold_start_s(deployment.profile),
        log=lambda entry: print(json.dumps(entry), flush=True),  # noqa: T201 - Modal keeps what is printed
    )
    return Gateway(config, store(deployment), ModalWaker(deployment, config.upstream, headers))


class ModalWaker:
    """Wakes a Modal Server: the first authenticated request to a cold one starts a container."""

    def __init__(self, deployment: Deployment, url: str, headers: dict[str, str]) -> None:
        self._deployment, self._url, self._headers = deployment, url, headers

    async def wake(self) -> None:
        """Send one request that is answered 503 at once."""
        import httpx  # noqa: PLC0415

        async with httpx.AsyncClient(timeout=10.0, trust_env=False) as client:
            answer = await client.get(f"{self._url}/health", headers=self._headers)
        if answer.status_code in {401, 403}:
            raise httpx.HTTPStatusError(
                "Modal refused the gateway's proxy token", request=answer.request, response=answer
            )

    async def hold(self, seconds: int) -> None:
        """Keep one container up; the container itself ends the lease (`lease_keeper`)."""
        del seconds
        await server_handle(self._deployment).autoscaler.update.aio(min_containers=1)
