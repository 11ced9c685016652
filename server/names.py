"""Names of what stands on Modal, in one place for `server.app` and `server.preflight`."""

from typing import Final

from server.settings import Deployment

WEIGHTS_VOLUME: Final = "llama70b-weights"
CACHE_VOLUME: Final = "llama70b-cache"
STATUS_DICT: Final = "llama70b-status"
HUB_SECRET: Final = "huggingface-secret"  # noqa: S105 - the name, not the secret
GATEWAY_SECRET: Final = "llama70b-gateway"  # noqa: S105 - the name, not the secret
SERVER_CLASS: Final = "Llama"
DOWNLOAD: Final = "modal run -m server.app::download"


def secrets(deployment: Deployment) -> dict[str, tuple[str, ...]]:
    """Modal Secrets that a deployment needs: name -> keys inside.

    The engine needs none: it reads weights that are there already. The hub's token is for the download alone.
    """
    needed: dict[str, tuple[str, ...]] = {}
    if deployment.profile.checkpoint.gated:
        needed[HUB_SECRET] = ("HF_TOKEN",)
    if deployment.engine_secret:
        needed[deployment.engine_secret] = ("VLLM_API_KEY",)
    if deployment.gateway:
        needed[GATEWAY_SECRET] = ("LLAMA70B_MODAL_KEY", "LLAMA70B_MODAL_SECRET", "LLAMA70B_GATEWAY_KEYS")
    return needed
