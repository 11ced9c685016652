"""What a deployer may set, read once from the environment and checked before anything is deployed.

| variable | meaning | default |
|---|---|---|
| `LLAMA70B_PROFILE` | which profile | `h200-fp8` |
| `LLAMA70B_MAX_MODEL_LEN` | context window in tokens | the profile's |
| `LLAMA70B_SCALEDOWN_S` | idle seconds until the GPU is released | the profile's |
| `LLAMA70B_REPLICAS` | most containers at once | 1 |
| `LLAMA70B_SPECULATIVE` | `1` loads the profile's draft head | off |
| `LLAMA70B_GATEWAY` | `1` deploys the gateway too | off |
| `LLAMA70B_ENGINE_SECRET` | Modal Secret with `VLLM_API_KEY`, a key of vLLM's own | none |
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from server.capacity import check, choose, with_overrides
from server.errors import ConfigurationError
from server.profiles import Checkpoint, Profile, Speculator

_SWITCH: Final = {"": False, "0": False, "1": True}
_LONGEST_SCALEDOWN_S: Final = 3600
_MOST_REPLICAS: Final = 64


@dataclass(frozen=True, slots=True)
class Deployment:
    """A checked deployment.

    Attributes:
        profile: What is served, overrides applied.
        replicas: Most containers at once.
        speculative: Whether the draft head is loaded.
        gateway: Whether the gateway is deployed too.
        engine_secret: Name of the Modal Secret with `VLLM_API_KEY`, or "".
        environment: The variables it was read from, to be repeated inside the container.
    """

    profile: Profile
    replicas: int
    speculative: bool
    gateway: bool
    engine_secret: str
    environment: dict[str, str]

    @property
    def app_name(self) -> str:
        """Name of the Modal app; one per profile, so that two can stand side by side while you move over."""
        return f"llama70b-{self.profile.name}"


def from_environment(environ: Mapping[str, str]) -> Deployment:
    """Read and check.

    Args:
        environ: Usually `os.environ`.

    Returns:
        The deployment.

    Raises:
        ConfigurationError: A variable is not what it should be, or the profile cannot work so.
    """
    profile = with_overrides(
        choose(environ.get("LLAMA70B_PROFILE")),
        max_model_len=_number(environ, "LLAMA70B_MAX_MODEL_LEN", 1, 1 << 20),
        scaledown_s=_number(environ, "LLAMA70B_SCALEDOWN_S", 2, _LONGEST_SCALEDOWN_S),
    )
    speculative = _switch(environ, "LLAMA70B_SPECULATIVE")
    check(profile, speculative=speculative)
    return Deployment(
        profile=profile,
        replicas=_number(environ, "LLAMA70B_REPLICAS", 1, _MOST_REPLICAS) or 1,
        speculative=speculative,
        gateway=_switch(environ, "LLAMA70B_GATEWAY"),
        engine_secret=environ.get("LLAMA70B_ENGINE_SECRET", ""),
        environment={
            "LLAMA70B_PROFILE": profile.name,
            **{name: environ[name] for name in sorted(_PASSED_ON) if environ.get(name)},
        },
    )


def sources(deployment: Deployment) -> list[Checkpoint | Speculator]:
    """Everything that a deployment loads from the hub."""
    head = deployment.profile.speculator if deployment.speculative else None
    return [deployment.profile.checkpoint, *([head] if head else [])]


_PASSED_ON: Final = (
    "LLAMA70B_MAX_MODEL_LEN",
    "LLAMA70B_SCALEDOWN_S",
    "LLAMA70B_REPLICAS",
    "LLAMA70B_SPECULATIVE",
    "LLAMA70B_GATEWAY",
    "LLAMA70B_ENGINE_SECRET",
)


def _number(environ: Mapping[str, str], name: str, low: int, high: int) -> int | None:
    text = environ.get(name, "")
    if not text:
        return None
    if not text.isdecimal() or not low <= int(text) <= high:
        raise ConfigurationError(f"{name}={text!r}: a whole number from {low} to {high} is meant")
    return int(text)


def _switch(environ: Mapping[str, str], name: str) -> bool:
    text = environ.get(name, "")
    if text not in _SWITCH:
        raise ConfigurationError(f"{name}={text!r}: 1 or 0 is meant")
    return _SWITCH[text]
