"""What a `ChatLlama70B` is made of: its fields, its clients, copying, pickling, closing."""

from __future__ import annotations

import copy
import hashlib
import inspect
import threading
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.language_models.model_profile import ModelProfile
from langchain_core.utils import from_env
from pydantic import ConfigDict, Field, PrivateAttr, SecretStr, ValidationError, field_validator, model_validator

from langchain_llama70b._errors import ConfigurationError, as_langchain
from langchain_llama70b._request import ALIASES, check_names, structured_outputs_of
from llama70b import AsyncClient, Client, Endpoint, Secret, StructuredOutputs, Timeouts, __version__
from llama70b._names import ENGINE_FIELDS
from llama70b.client import OnInterrupt, OnProgress
from llama70b.endpoint import DEFAULT_CONTEXT_WINDOW, DEFAULT_MODEL, Ingress
from llama70b.errors import Llama70BError

_SECRETS = ("api_key", "modal_key", "modal_secret")
_SHARED = frozenset(("rate_limiter", "cache", "callbacks", "custom_get_token_ids", "on_progress", *_SECRETS))
"""Not copied by deepcopy: a limiter of two copies limits neither, and most of them hold locks."""
_SESSION_HEADERS = ("Modal-Session-ID", "Modal-Routing-Affinity-Key")
"""What Modal's Servers hash to choose a replica: the documented name, and the one of newer releases."""


class _BoundSecret(SecretStr):
    """A credential that remembers the origin it was given for, so that no copy of a model takes it elsewhere."""

    def __init__(self, value: str, origin: tuple[str, str, int]) -> None:
        super().__init__(value)
        self.origin = origin


class _Clients:
    """The clients of one model, and the connection they were made for."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.made_for: tuple[Any, ...] = ()
        self.blocking: Client | None = None
        self.awaiting: AsyncClient | None = None


class Llama70BConnection(BaseChatModel):
    """Fields and clients of `ChatLlama70B`, where they are documented."""

    model: str = Field(default_factory=from_env("LLAMA70B_MODEL", default=DEFAULT_MODEL))
    base_url: str | None = Field(default_factory=from_env("LLAMA70B_BASE_URL", default=None))
    # `str` is what users write and type checkers should take; what is kept is a SecretStr.
    api_key: SecretStr | str | Callable[[], str | Awaitable[str]] | None = Field(default=None, repr=False, exclude=True)
    modal_key: SecretStr | str | None = Field(default=None, repr=False, exclude=True)
    modal_secret: SecretStr | str | None = Field(default=None, repr=False, exclude=True)
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: list[str] | str | None = None
    seed: int | None = None
    n: int | None = Field(default=None, ge=1)
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    structured_outputs: StructuredOutputs | dict[str, Any] | None = None
    extra_body: dict[str, Any] = Field(default_factory=dict)
    timeout: float | Timeouts | None = None
    max_retries: int = Field(default=2, ge=0)
    streaming: bool = False
    context_window: int | None = None
    max_connections: int = 512
    ingress: Ingress = "auto"
    session_affinity: bool | None = None
    allow_insecure: bool = False
    price_per_hour: float | None = None
    on_progress: OnProgress | None = Field(default=None, exclude=True, repr=False)
    progress_bar: bool | None = Field(default=None, exclude=True, repr=False)
    on_interrupt: OnInterrupt = "raise"

    _clients: _Clients = PrivateAttr(default_factory=_Clients)
    _left_key_behind: bool = PrivateAttr(default=False)

    # Inputs hold the key, so a validation error may not quote them.
    model_config = ConfigDict(arbitrary_types_allowed=True, hide_input_in_errors=True)

    if not TYPE_CHECKING:  # type checkers make the signature from the fields

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            for name in _SECRETS:  # hidden first: what is raised below may be printed with this frame's variables
                if isinstance(kwargs.get(name), str):
                    kwargs[name] = SecretStr(kwargs[name])
            try:
                super().__init__(*args, **kwargs)
            except ValidationError as error:
                ours = (entry.get("ctx", {}).get("error") for entry in error.errors(include_input=False))
                for cause in ours:
                    if isinstance(cause, Llama70BError):
                        raise as_langchain(cause) from None
                raise

    @field_validator(*_SECRETS, mode="before")
    @classmethod
    def _hide(cls, value: Any) -> Any:
        return SecretStr(value) if isinstance(value, str) else value

    @field_validator("structured_outputs", mode="before")
    @classmethod
    def _read_constraint(cls, value: Any) -> StructuredOutputs | None:
        return structured_outputs_of(value)

    @model_validator(mode="before")
    @classmethod
    def _read_llama70b_names(cls, given: Any) -> Any:
        """Take the other names LangChain knows, put vLLM's own fields into `extra_body`, refuse the rest."""
        if not isinstance(given, dict):
            return given
        given = {ALIASES.get(name, name): value for name, value in given.items()}
        known = frozenset(cls.model_fields)
        engine = {name: given.pop(name) for name in list(given) if name in ENGINE_FIELDS and name not in known}
        check_names(given, known=known | ENGINE_FIELDS, where=cls.__name__, fixed=frozenset())
        if engine:
            given["extra_body"] = {**engine, **(given.get("extra_body") or {})}
        return given

    @model_validator(mode="after")
    def _read_llama70b_environment(self) -> Self:
        """Check the connection now, if there is one already; take the environment's key if it is for this URL."""
        self._add_version("llama70b", __version__)
        if self.base_url is None:
            return self
        endpoint = self._make_endpoint("unread" if callable(self.api_key) else self.api_key)
        for name in _SECRETS:
            value = getattr(endpoint, name)
            if value is not None and not callable(getattr(self, name)):
                setattr(self, name, _BoundSecret(value.get_secret_value(), endpoint.origin))
        return self

    @property
    def lc_secrets(self) -> dict[str, str]:
        """Which environment variables stand for the secret fields."""
        return {name: f"LLAMA70B_{name.upper()}" for name in _SECRETS}

    def _make_endpoint(self, api_key: SecretStr | str | None) -> Endpoint:
        secrets = {"api_key": api_key, "modal_key": self.modal_key, "modal_secret": self.modal_secret}
        hidden: dict[str, Any] = {  # not in the clear: what is raised below may be printed with this frame's variables
            name: Secret(value.get_secret_value() if isinstance(value, SecretStr) else value, name=name)
            for name, value in secrets.items()
            if value is not None
        }
        endpoint = Endpoint.from_env(
            base_url=self.base_url,
            model=self.model,
            **hidden,
            timeouts=Timeouts.of(self.timeout),
            max_retries=self.max_retries,
            max_connections=self.max_connections,
            context_window=self.context_window,
            ingress=self.ingress,
            allow_insecure=self.allow_insecure,
            price_per_hour=self.price_per_hour,
        )
        for name, value in secrets.items():
            if isinstance(value, _BoundSecret) and value.origin != endpoint.origin:
                raise ConfigurationError(
                    f"base_url moved to another origin, but {name} was given for the first one",
                    hint=f"give {name}=... for the new one, or None",
                )
        return endpoint

    def _connection(self, key: SecretStr | str | None) -> tuple[Any, ...]:
        """Return all that a client depends on; a changed field, or a rotated key, makes a new client."""
        return (
            key,
            self.base_url,
            self.model,
            self.modal_key,
            self.modal_secret,
            self.timeout,
            self.max_retries,
            self.max_connections,
            self.context_window,
            self.ingress,
            self.allow_insecure,
            self.price_per_hour,
            self.on_progress,
            self.progress_bar,
            self.on_interrupt,
        )

    def _present_key(self) -> SecretStr | str | None:
        """Return the key of a blocking call."""
        if not callable(self.api_key):
            return self.api_key
        key = self.api_key()
        if isinstance(key, str):
            return SecretStr(key)
        if inspect.iscoroutine(key):
            key.close()
        raise ConfigurationError(
            "api_key is an async function, and this call is blocking",
            hint="call ainvoke, astream or abatch, or give a plain function",
        )

    async def _present_key_async(self) -> SecretStr | str | None:
        """Return the key of an async call; the function may be async."""
        if not callable(self.api_key):
            return self.api_key
        key = self.api_key()
        return SecretStr(await key if inspect.isawaitable(key) else key)

    def _renewed(self, key: SecretStr | str | None) -> _Clients:
        """Return the clients, renewed if the connection has changed; call with the lock held."""
        clients, connection = self._clients, self._connection(key)
        if connection == clients.made_for:
            return clients
        only_the_key = connection[1:] == clients.made_for[1:]
        clients.made_for = connection
        if only_the_key:  # a rotated key needs no new connections, and calls under way keep the old one
            for client in (clients.blocking, clients.awaiting):
                if client is not None:
                    client.endpoint = self._endpoint()
        else:
            clients.blocking = clients.awaiting = None
        return clients

    def _endpoint(self) -> Endpoint:
        endpoint = self._make_endpoint(self._clients.made_for[0])
        if self._left_key_behind and not endpoint.auth_headers():
            raise ConfigurationError(
                "this model was unpickled, and its key was not put into the pickle",
                hint="set LLAMA70B_API_KEY (and LLAMA70B_BASE_URL) on this side, or set api_key on the model",
            )
        return endpoint

    def _client_options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("on_progress", "progress_bar", "on_interrupt")}

    def _client(self) -> Client:
        key = self._present_key()
        with self._clients.lock:
            clients = self._renewed(key)
            if clients.blocking is None:
                clients.blocking = Client(self._endpoint(), **self._client_options())
            return clients.blocking

    async def _async_client(self) -> AsyncClient:
        key = await self._present_key_async()
        with self._clients.lock:
            clients = self._renewed(key)
            if clients.awaiting is None:
                clients.awaiting = AsyncClient(self._endpoint(), **self._client_options())
            return clients.awaiting

    def _session_headers(self, endpoint: Endpoint, thread: str | None) -> dict[str, str]:
        """Return the headers that keep a conversation on one replica, whose cache then holds its earlier turns."""
        wanted = self.session_affinity
        if wanted is None:
            wanted = endpoint.origin[1].endswith(".modal.direct")
        if thread is None or not wanted:
            return {}
        # The proxy only hashes it, and a thread's id may name a person.
        session = hashlib.sha256(thread.encode()).hexdigest()[:32]
        return dict.fromkeys(_SESSION_HEADERS, session)

    def close(self) -> None:
        """Close the connections of blocking calls. The model can still be used; it then opens new ones."""
        if self._clients.blocking is not None:
            self._clients.blocking.close()

    async def aclose(self) -> None:
        """Close all connections of the running event loop, and those of blocking calls."""
        self.close()
        if self._clients.awaiting is not None:
            await self._clients.awaiting.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.aclose()

    def __copy__(self) -> Self:
        twin = super().__copy__()
        twin.__dict__.pop("_serialized", None)  # core's cached property, of the original's values
        twin._clients = _Clients()  # noqa: SLF001 - the same class
        return twin

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        twin = self.__copy__()
        memo = {} if memo is None else memo
        memo[id(self)] = twin
        for name, value in twin.__dict__.items():
            if name not in _SHARED:
                twin.__dict__[name] = copy.deepcopy(value, memo)
        return twin

    def __getstate__(self) -> dict[Any, Any]:
        state = dict(super().__getstate__())
        values = dict(state["__dict__"])
        values.pop("_serialized", None)
        values.update(dict.fromkeys(_SECRETS))  # a pickle is a file; the other side reads its own environment
        had_key = self._left_key_behind or any(getattr(self, name) for name in _SECRETS)
        state["__dict__"] = values
        state["__pydantic_private__"] = {"_left_key_behind": had_key}
        return state

    def __setstate__(self, state: dict[Any, Any]) -> None:
        super().__setstate__(state)
        self._clients = _Clients()

    def _resolve_model_profile(self) -> ModelProfile:
        """Return what the model can do; `warm_up` replaces the window by the server's.

        `structured_output` stays out: with it agents send a schema beside the tools, and vLLM then never calls a tool
        (vllm-project/vllm#16313). Without, they ask for the answer by a tool call, which works.
        """
        window = self.context_window or DEFAULT_CONTEXT_WINDOW
        return ModelProfile(
            name=self.model,
            max_input_tokens=window,
            max_output_tokens=window,
            text_inputs=True,
            image_inputs=False,
            audio_inputs=False,
            video_inputs=False,
            text_outputs=True,
            reasoning_output=False,
            tool_calling=True,
            tool_choice=True,
            tool_call_streaming=True,
            temperature=True,
            open_weights=True,
        )
