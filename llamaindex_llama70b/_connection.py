"""The part of `Llama70B` that holds settings and clients: lazy, safe to copy, pickle and print."""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import threading
import time
from collections.abc import Callable
from typing import Any

from llama_index.core.bridge.pydantic import ConfigDict, Field, PrivateAttr, SecretStr, field_validator
from llama_index.core.llms.function_calling import FunctionCallingLLM

from llama70b import AsyncClient, Client, Endpoint, ModelInfo, Secret, StructuredOutputs, Timeouts
from llama70b.client import OnInterrupt
from llama70b.endpoint import DEFAULT_CONTEXT_WINDOW, DEFAULT_MODEL, Ingress
from llama70b.errors import Llama70BError
from llamaindex_llama70b._names import renamed
from llamaindex_llama70b._request import SAMPLING, GuardMode

_LOG = logging.getLogger("llamaindex_llama70b")
_SECRETS = frozenset({"api_key", "modal_key", "modal_secret"})
_DEFAULTS = (
    *(name for name in SAMPLING if name != "n"),
    *("top_k", "min_p", "repetition_penalty", "structured_outputs", "extra_body"),
    *("strict", "context_guard", "system_prompt"),
)
_ASK_AGAIN_S = 30.0
# Short, because metadata is read while a program starts: the fallback is right for the deployment we ship.
_ASK = Timeouts(connect=1.0, pool=1.0, write=1.0, first_byte=2.0, stream_idle=2.0, total=2.0, cold_start=0.5, poll=0.2)
_ASK_IN_LOOP = Timeouts(
    connect=0.5, pool=0.5, write=0.5, first_byte=1.0, stream_idle=1.0, total=1.0, cold_start=0.2, poll=0.1
)


class _Clients:
    """The clients of one set of settings, and what was learnt of the server. A copy starts empty."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.settings: tuple[Any, ...] | None = None
        self.client: Client | None = None
        self.aclient: AsyncClient | None = None
        self.window: int | None = None
        self.asked_at: float | None = None

    def __deepcopy__(self, memo: object) -> _Clients:
        return _Clients()

    def __reduce__(self) -> tuple[Any, ...]:
        return (_Clients, ())


class Connected(FunctionCallingLLM):
    """Settings, endpoint and clients. No connection is made before the first call, no key is needed to construct."""

    # Inputs hold the key, so a validation error may not quote them.
    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid", hide_input_in_errors=True)

    model: str = Field(description="Name the server serves the model under; LLAMA70B_MODEL from the environment.")
    base_url: str | None = Field(default=None, description="https://host[/v1]; None reads LLAMA70B_BASE_URL.")
    api_key: SecretStr | None = Field(default=None, exclude=True, repr=False, description="None: LLAMA70B_API_KEY.")
    modal_key: SecretStr | None = Field(default=None, exclude=True, repr=False, description="Modal proxy token id.")
    modal_secret: SecretStr | None = Field(default=None, exclude=True, repr=False, description="Its secret.")
    temperature: float | None = Field(default=None, description="0 is greedy; None leaves it to the server.")
    top_p: float | None = Field(default=None, description="Nucleus mass in (0, 1].")
    max_tokens: int | None = Field(default=None, gt=0, description="Most tokens to generate; None: what is left.")
    stop: str | list[str] | None = Field(default=None, description="Texts that end the answer.")
    seed: int | None = Field(default=None, description="Seed of the sampler.")
    presence_penalty: float | None = Field(default=None, description="In [-2, 2].")
    frequency_penalty: float | None = Field(default=None, description="In [-2, 2].")
    logprobs: bool | None = Field(default=None, description="Return log-probabilities.")
    top_logprobs: int | None = Field(default=None, description="Alternatives per token.")
    top_k: int | None = Field(default=None, description="vLLM: sample from the k likeliest.")
    min_p: float | None = Field(default=None, description="vLLM: least probability relative to the likeliest.")
    repetition_penalty: float | None = Field(default=None, description="vLLM: above 0, 1 is none.")
    structured_outputs: StructuredOutputs | dict[str, Any] | None = Field(default=None, description="One constraint.")
    extra_body: dict[str, Any] = Field(default_factory=dict, description="Further request fields, as they are.")
    timeout: float | Timeouts | None = Field(default=None, description="Seconds for a call once awake, or all limits.")
    max_retries: int = Field(default=2, ge=0, description="Retries after the first attempt.")
    max_connections: int = Field(default=512, gt=0, description="Most requests in flight.")
    context_window: int | None = Field(default=None, gt=0, description="Tokens, instead of the server's figure.")
    ingress: Ingress = Field(default="auto", description="How a sleeping endpoint answers.")
    allow_insecure: bool = Field(default=False, description="Permit plain http to another machine.")
    price_per_hour: float | None = Field(default=None, ge=0, description="Dollars an hour; answers then have a cost.")
    strict: bool = Field(default=True, description="Constrain tool arguments to their schema.")
    context_guard: GuardMode = Field(default="error", description="What to do before sending what cannot fit.")
    additional_kwargs: dict[str, Any] = Field(default_factory=dict, description="Further request fields, by name.")
    on_progress: Callable[..., Any] | None = Field(default=None, exclude=True, repr=False)
    progress_bar: bool | None = Field(default=None, description="Show a bar while waking; None: on a terminal.")
    on_interrupt: OnInterrupt = Field(default="raise", description="What becomes of a stream that is cut off.")

    _clients: _Clients = PrivateAttr(default_factory=_Clients)

    @field_validator("api_key", "modal_key", "modal_secret", mode="before")
    @classmethod
    def _as_secret_str(cls, value: Any) -> Any:
        return SecretStr(value.get_secret_value()) if isinstance(value, Secret) else value

    def _endpoint(self) -> Endpoint:
        """Return where to call.

        Raises:
            ConfigurationError: There is no URL, or something given cannot work.
        """
        secrets: dict[str, Any] = {
            name: Secret(value.get_secret_value(), name=name)
            for name in _SECRETS
            if (value := getattr(self, name)) is not None
        }
        explicit: dict[str, Any] = {
            "base_url": self.base_url,
            "model": self.model,
            "timeouts": None if self.timeout is None else Timeouts.of(self.timeout),
            "max_retries": self.max_retries,
            "max_connections": self.max_connections,
            "context_window": self.context_window,
            "ingress": self.ingress,
            "allow_insecure": self.allow_insecure,
            "price_per_hour": self.price_per_hour,
        }
        return Endpoint.from_env(**explicit, **secrets)

    def _settings_of_clients(self) -> tuple[Any, ...]:
        return (
            self.base_url,
            self.model,
            self.api_key,
            self.modal_key,
            self.modal_secret,
            self.timeout,
            self.max_retries,
            self.max_connections,
            self.ingress,
            self.allow_insecure,
            self.price_per_hour,
            self.on_progress,
            self.progress_bar,
            self.on_interrupt,
        )

    def _current(self) -> _Clients:
        """Return the clients, emptied if a setting they depend on was assigned since. Call with nothing held."""
        held, settings = self._clients, self._settings_of_clients()
        if held.settings != settings:
            with held.lock:
                if held.settings is not None:  # a shallow copy may share the old ones: leave those alone
                    held = self._clients = _Clients()
                held.settings = settings
        return held

    def _client_options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("on_progress", "progress_bar", "on_interrupt")}

    @property
    def client(self) -> Client:
        """The blocking client; built at first use."""
        held = self._current()
        with held.lock:
            if held.client is None:
                held.client = Client(self._endpoint(), **self._client_options())
            return held.client

    @property
    def aclient(self) -> AsyncClient:
        """The awaiting client; built at first use, with connections of its own in every event loop."""
        held = self._current()
        with held.lock:
            if held.aclient is None:
                held.aclient = AsyncClient(self._endpoint(), **self._client_options())
            return held.aclient

    def close(self) -> None:
        """Close the blocking client's connections. The model can still be used."""
        if (client := self._clients.client) is not None:
            client.close()

    async def aclose(self) -> None:
        """Close the awaiting client's connections of this event loop. The model can still be used."""
        if (aclient := self._clients.aclient) is not None:
            await aclient.aclose()

    # -- the context window --

    def _known_window(self) -> int | None:
        """Return the window if it is known for sure, without asking anybody."""
        return self.context_window if self.context_window is not None else self._current().window

    def _window(self) -> int:
        """Return the window in tokens, asking the server once; 4096 while it does not tell."""
        return self._known_window() or self._ask_window() or DEFAULT_CONTEXT_WINDOW

    def _ask_window(self) -> int | None:
        """Ask `/v1/models`, at most every 30 s; None if it does not tell. Takes two seconds at most, never raises."""
        held = self._current()
        now = time.monotonic()
        if held.asked_at is not None and now - held.asked_at < _ASK_AGAIN_S:
            return None
        held.asked_at = now
        try:
            endpoint = self._endpoint().replace(timeouts=_ASK_IN_LOOP if _in_event_loop() else _ASK, max_retries=0)
            with Client(endpoint, progress_bar=False) as client:  # its own: no listener is to hear of this
                held.window = _window_of(client.models(), self.model)
        except Llama70BError as error:
            _LOG.debug("the context window is not known yet: %s", error)
        return held.window

    def _awake(self) -> None:
        """Note that the endpoint just answered: worth asking again."""
        held = self._clients
        if held.window is None:
            held.asked_at = None

    # -- copies --

    def __getstate__(self) -> dict[str, Any]:
        """Return what a pickle may hold: no credential, no client, nothing that cannot be pickled.

        Core's own version would write the key into the file, and deletes what it cannot pickle from the live object.
        """
        state = {name: value for name, value in self.__dict__.items() if name not in _SECRETS}
        for name in [name for name, value in state.items() if not _picklable(value)]:
            _LOG.warning("%s cannot be pickled and is left out", name)
            del state[name]
        return {"__dict__": state}

    def _defaults(self) -> dict[str, Any]:
        """Return the request's defaults: fields, then `additional_kwargs` over them."""
        return {name: getattr(self, name) for name in _DEFAULTS} | renamed(self.additional_kwargs)


def default_model() -> str:
    """Return the served name from the environment, else the package's default."""
    return os.environ.get("LLAMA70B_MODEL", "").strip() or DEFAULT_MODEL


def _picklable(value: Any) -> bool:
    try:
        pickle.dumps(value)
    except Exception:  # noqa: BLE001 - a __reduce__ may raise anything
        return False
    return True


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _window_of(models: tuple[ModelInfo, ...], name: str) -> int | None:
    """Return the window of the model by that name; else the only one there is."""
    for model in models:
        if name in {model.id, model.root}:
            return model.max_model_len
    return models[0].max_model_len if len(models) == 1 else None
