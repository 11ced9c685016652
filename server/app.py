"""# Llama-3.3-70B on Modal, step by step.

This file is the whole deployment; read it from top to bottom. What it needs on your machine:

    python -m venv .venv && . .venv/bin/activate
    pip install -r requirements/server.txt
    modal setup                                    # an account; Modal's free credit covers a first look

Then five commands, each of which says what it did:

    python -m server.profiles                      # which GPUs, what they hold, what they cost
    export LLAMA70B_PROFILE=h200-fp8               # the recommended one; a100x2-bf16 is the original deployment
    python -m server.preflight                     # refuses what cannot work before anything is billed
    modal run -m server.app::download              # weights into a Volume, on a CPU
    modal deploy -m server.app                     # prints the URL
    modal run -m server.app::smoke                 # wakes it once and checks it: a few minutes of GPU

A profile whose weights are gated (`a100x2-bf16`, `8b`) needs a Hugging Face token of an account that accepted Meta's
licence: `modal secret create huggingface-secret HF_TOKEN=hf_...`.

Nobody can call the endpoint without a proxy token: make one in Modal's settings and give the client
`LLAMA70B_BASE_URL=<the URL>/v1` and `LLAMA70B_API_KEY=wk-<id>.ws-<secret>`.
"""

import os
from pathlib import Path
from typing import Any

import modal

from server import cloud, names, preflight
from server import smoke as checks
from server.profiles import VLLM_VERSION
from server.settings import from_environment, sources
from server.weights import fetch

# ## 1. What is deployed
#
# Everything that can be chosen is chosen by environment variables (`server/settings.py` lists them) and checked here,
# on your machine, before Modal hears of it: an unknown profile, a context that leaves no KV room, a draft head that
# does not fit all end in one line that says what fits instead. Inside the container the same variables give the same
# answer.

DEPLOYMENT = from_environment(os.environ)
PROFILE = DEPLOYMENT.profile

app = modal.App(DEPLOYMENT.app_name)

# ## 2. Where the weights live
#
# A 70B is 40 to 141 GB. Fetching that inside the GPU container would cost minutes of GPU price at every change, so
# weights go into a Volume once, at a pinned commit. A second Volume keeps what vLLM computes on its first boot
# (compiled kernels, the start-up plan); later boots are minutes shorter for it.

weights = modal.Volume.from_name(names.WEIGHTS_VOLUME, create_if_missing=True)
cache = modal.Volume.from_name(names.CACHE_VOLUME, create_if_missing=True)
HUB_DIR = Path("/weights")
CACHE_DIR = Path("/cache/vllm")

# ## 3. The images
#
# vLLM is pinned exactly: its flags change between releases, and `tests/server` knows every flag of this one. Its wheels
# are built for CUDA 13. The CPU image holds no vLLM.

PYTHON = "3.12"
NOT_SOURCE = ["**/__pycache__/**", "**/*.pyc"]

gpu_image = (
    modal.Image.from_registry("nvidia/cuda:13.0.0-devel-ubuntu22.04", add_python=PYTHON)
    .entrypoint([])
    .uv_pip_install(f"vllm=={VLLM_VERSION}", "httpx==0.28.1")
    .add_local_python_source("server", ignore=NOT_SOURCE)
)
cpu_image = (
    modal.Image.debian_slim(python_version=PYTHON)
    .uv_pip_install("huggingface-hub==2.4.0", "httpx==0.28.1", "starlette==1.10.0", "pydantic==2.14.3")
    .env({"HF_XET_HIGH_PERFORMANCE": "1"})
    .add_local_python_source("server", ignore=NOT_SOURCE)
)


def secret(name: str) -> list[modal.Secret]:
    """The named Secret, if this deployment needs it."""
    keys = names.secrets(DEPLOYMENT).get(name)
    return [modal.Secret.from_name(name, required_keys=list(keys))] if keys else []


# ## 4. Download: `modal run -m server.app::download`
#
# Runs on a CPU, and first asks the hub, from your machine, whether the commit exists and your token may read it.


@app.function(
    image=cpu_image,
    cpu=8,
    memory=16 * 1024,
    timeout=4 * 3600,
    volumes={str(HUB_DIR): weights},
    secrets=secret(names.HUB_SECRET),
    env={**DEPLOYMENT.environment},
    include_source=False,
)
def fetch_weights() -> list[str]:
    """Download the profile's checkpoint, and its draft head if there is one, into the Volume."""
    snapshots = fetch(HUB_DIR, [(source.repo, source.revision) for source in sources(DEPLOYMENT)])
    weights.commit()
    return [str(snapshot) for snapshot in snapshots]


@app.local_entrypoint()
def download() -> None:
    """Check the hub, then download on a CPU container."""
    if status := preflight.main([]):
        raise SystemExit(status)
    for snapshot in fetch_weights.remote():
        print(f"downloaded {snapshot}")  # noqa: T201 - an entry point talks to a person


# ## 5. The server
#
# `@app.server` is Modal's way to run a process that speaks HTTP. What matters here:
#
# - no container while nobody asks: the first request is answered 503 at once and starts one (our clients wait, and show
# it); - `scaledown_window`: the GPU is billed this long after the last request, like work;
# - `max_concurrency`: over it callers get 429; a little more than vLLM admits, so that vLLM's own answer comes first;
# - proxy authentication is on by default and covers every path, which vLLM's own key does not;
# - `exit_grace_period`: running answers are finished before the container goes;
# - a second container starts only if you set `LLAMA70B_REPLICAS`: one burst should not double the bill.


@app.server(
    image=gpu_image,
    gpu=PROFILE.gpu_request,
    cpu=PROFILE.cpu_cores,
    memory=PROFILE.memory_gib * 1024,
    volumes={str(HUB_DIR): weights.with_mount_options(read_only=True), str(CACHE_DIR.parent): cache},
    secrets=secret(DEPLOYMENT.engine_secret),
    env={**DEPLOYMENT.environment},
    port=8000,
    startup_timeout=PROFILE.startup_timeout_s,
    scaledown_window=PROFILE.scaledown_window_s,
    max_concurrency=PROFILE.max_in_flight + 16,
    target_concurrency=PROFILE.target_concurrency if DEPLOYMENT.replicas > 1 else None,
    max_containers=DEPLOYMENT.replicas if DEPLOYMENT.replicas > 1 else None,
    scaleup_window=30 if DEPLOYMENT.replicas > 1 else None,
    exit_grace_period=60,
    include_source=False,
)
class Llama:
    """One container: vLLM and its supervisor."""

    @modal.enter()
    def start(self) -> None:
        """Boot vLLM and return when it has answered a first request; a failed boot ends with vLLM's own last lines.

        The command is built by `server.command` from the profile and the GPUs that this container really has; the
        supervisor writes every phase into a Dict, from which the gateway tells callers how far the boot is.
        """
        self.engine = cloud.start_engine(DEPLOYMENT, hub_dir=HUB_DIR, cache_dir=CACHE_DIR)
        cache.commit()

    @modal.exit()
    def stop(self) -> None:
        """Let running answers finish, then end."""
        self.engine.stop()


# ## 6. The gateway (optional: `LLAMA70B_GATEWAY=1`)
#
# A small ASGI application on a CPU that scales to zero too: `GET /status` without waking the GPU, `POST /wake`, checked
# requests, a meaningful 503 while cold, a line per request for the cost ledger. It calls the server with a proxy token
# of its own and its callers carry keys that you hand out:
#
#     modal secret create llama70b-gateway LLAMA70B_MODAL_KEY=wk-... LLAMA70B_MODAL_SECRET=ws-... \
#         LLAMA70B_GATEWAY_KEYS='{"alice": "<a long random key>"}'
#
# Callers send Modal's pair of headers (`Modal-Key`, `Modal-Secret`) and their gateway key as `Authorization: Bearer`.

if DEPLOYMENT.gateway:

    @app.function(
        image=cpu_image,
        secrets=secret(names.GATEWAY_SECRET) + secret(DEPLOYMENT.engine_secret),
        env={**DEPLOYMENT.environment},
        max_containers=1,  # rates are counted in one place
        scaledown_window=60,
        timeout=3600,  # the longest stream
        include_source=False,
    )
    @modal.concurrent(max_inputs=200)
    @modal.asgi_app(requires_proxy_auth=True)
    def gateway() -> Any:
        """Build the ASGI application."""
        return cloud.build_gateway(DEPLOYMENT)


# ## 7. Does it work? `modal run -m server.app::smoke`
#
# For whoever has an account: wakes the deployed server and checks what no test on this side of the account can see.


@app.local_entrypoint()
def smoke() -> None:
    """Check the deployed server with the proxy token in LLAMA70B_API_KEY."""
    server = modal.Server.from_name(DEPLOYMENT.app_name, names.SERVER_CLASS)
    url = server.get_url()
    if url is None:
        raise SystemExit(f"{DEPLOYMENT.app_name} has no URL; run: modal deploy -m server.app")
    raise SystemExit(checks.main(url, os.environ.get("LLAMA70B_API_KEY", ""), PROFILE))
