"""`python -m server.preflight`: everything that can be refused before a GPU is asked for.

1. The profile: known, fits its GPU, leaves room for one context (no network).
2. The hub: repository and commit exist, and `HF_TOKEN` may read them.
3. Modal (`--modal`, needs an account): the secrets exist, the weights are in the Volume.
"""

import argparse
import os
import sys
from collections.abc import Callable
from typing import Final

from huggingface_hub import HfApi
from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

from server.capacity import capacity, weight_bytes
from server.errors import PreflightError, ServerError
from server.profiles import Checkpoint, Speculator
from server.settings import Deployment, from_environment, sources

_SIZE_TOLERANCE: Final = 0.10


def check_hub(source: Checkpoint | Speculator, api: HfApi) -> str:
    """Ask the hub for a repository at its pinned commit.

    Args:
        source: The weights.
        api: Client with the token to use.

    Returns:
        One line of what was found.

    Raises:
        PreflightError: It does not exist, or the token may not read it; says what to do.
    """
    try:
        info = api.model_info(source.repo, revision=source.revision, files_metadata=True)
    except GatedRepoError:
        raise PreflightError(
            f"{source.repo} is gated: accept its licence on its page and set HF_TOKEN to a token of that account"
        ) from None
    except RevisionNotFoundError:
        raise PreflightError(
            f"{source.repo} has no commit {source.revision}: correct its revision in server/profiles.py"
        ) from None
    except RepositoryNotFoundError:
        raise PreflightError(f"{source.repo} does not exist, or HF_TOKEN may not see it") from None
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else "no answer"
        raise PreflightError(f"the hub answered {status} for {source.repo}; try again") from None
    except Exception as error:
        # The hub's client changes its HTTP library between releases; whatever it raises here means "not reached".
        raise PreflightError(f"the hub was not reached for {source.repo} ({type(error).__name__})") from error
    size = sum(file.size or 0 for file in info.siblings or () if file.rfilename.endswith(".safetensors"))
    if isinstance(source, Checkpoint):
        expected = weight_bytes(source)
        if abs(size - expected) > _SIZE_TOLERANCE * expected:
            raise PreflightError(
                f"{source.repo} holds {size / 1e9:.1f} GB; {expected / 1e9:.1f} GB of {source.precision.value} were "
                "expected"
            )
    return f"{source.repo} at {source.revision[:12]}: {size / 1e9:.1f} GB"


def check_modal(deployment: Deployment) -> list[str]:
    """Ask Modal for the secrets and the weights. Needs a login; starts nothing.

    Args:
        deployment: What would be deployed.

    Returns:
        One line per thing found.

    Raises:
        PreflightError: Something does not exist; says the command that makes it.
    """
    import modal  # noqa: PLC0415 - the other checks need no account

    from server import names  # noqa: PLC0415

    found = []
    for secret, keys in names.secrets(deployment).items():
        try:
            modal.Secret.from_name(secret, required_keys=list(keys)).hydrate()
        except modal.exception.NotFoundError as error:
            assignments = " ".join(f"{key}=..." for key in keys)
            raise PreflightError(f"{error}; make it with: modal secret create {secret} {assignments}") from None
        found.append(f"secret {secret}")
    volume = modal.Volume.from_name(names.WEIGHTS_VOLUME)
    for source in sources(deployment):
        path = f"hub/models--{source.repo.replace('/', '--')}/snapshots/{source.revision}"
        try:
            files = [entry.path for entry in volume.listdir(path)]
        except modal.exception.NotFoundError:
            raise PreflightError(f"{source.repo} is not in the Volume; run: {names.DOWNLOAD}") from None
        found.append(
            f"{source.repo}: {sum(name.endswith('.safetensors') for name in files)} weight files in the Volume"
        )
    return found


def main(arguments: list[str] | None = None, *, say: Callable[[str], object] = print) -> int:
    """Command line.

    Args:
        arguments: Without the program's name; `sys.argv` where None.
        say: Where lines go.

    Returns:
        0, or 1 after saying what was refused.
    """
    parser = argparse.ArgumentParser(prog="python -m server.preflight", description="Check a deployment.")
    parser.add_argument("--modal", action="store_true", help="ask Modal too (needs a login)")
    parser.add_argument("--offline", action="store_true", help="ask nobody")
    options = parser.parse_args(arguments)
    try:
        deployment = from_environment(os.environ)
        figures = capacity(deployment.profile)
        say(f"ok  {deployment.profile.name} on {deployment.profile.gpu_request}: {figures.kv_tokens:,} tokens of KV")
        if not options.offline:
            api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"), token=os.environ.get("HF_TOKEN"))
            for source in sources(deployment):
                say(f"ok  {check_hub(source, api)}")
        if options.modal:
            for line in check_modal(deployment):
                say(f"ok  {line}")
    except ServerError as error:
        say(f"refused: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
