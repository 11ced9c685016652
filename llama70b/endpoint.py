"""Where the model lives: URL, served name, credentials, time limits. Validated once, immutable, safe to print."""

from __future__ import annotations

import ipaddress
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal
from urllib.parse import urlsplit

from llama70b._secret import Secret
from llama70b.errors import ConfigurationError

DEFAULT_MODEL = "meta-llama/Llama-3.3-70B-Instruct"
DEFAULT_CONTEXT_WINDOW = 4096
"""Tokens; what the deployment this package was made for serves. The server's own figure wins where it is known."""

_MIN_REDACTED = 8  # shorter keys are words that stand in honest answers too
_MAX_HOST, _MAX_LABEL = 253, 63  # RFC 1035 2.3.4; the resolver raises an error of no known type for more
_NO_URL_HINT = "set {env}_BASE_URL or pass base_url=...; `llama70b local` starts a small engine on this machine"

Ingress = Literal["auto", "server", "function"]
"""How a sleeping endpoint answers: Modal Server 503 at once, Modal Web Function holds the request (303 after 150 s)."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Time limits in seconds. Defaults and their reasons: docs/reliability.md.

    Attributes:
        connect: To open a connection.
        pool: To get a free slot under `Endpoint.max_connections`.
        write: For the socket to take a piece of the request.
        first_byte: From sending a streaming request to the answer's headers, and on to its first event (the prompt is
            read meanwhile); from a poll for a held answer to its headers. Modal cuts a held request at 150 s, so less
            than that loses answers there.
        stream_idle: Between two events of a stream; heartbeats do not count.
        total: For a whole call, waiting for a cold start not included.
        cold_start: For waking, counted apart from `total`.
        poll: First pause between two looks at a waking endpoint; grows to 5 x this.
    """

    connect: float = 10.0
    pool: float = 300.0
    write: float = 30.0
    first_byte: float = 170.0
    stream_idle: float = 60.0
    total: float = 900.0
    cold_start: float = 1800.0
    poll: float = 1.0

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
                raise ConfigurationError(f"timeouts.{item.name} is {value!r}: give a finite number of seconds above 0")

    @classmethod
    def of(cls, timeout: float | Timeouts | None, base: Timeouts | None = None) -> Timeouts:
        """Return the limits a framework's single `timeout` stands for.

        Args:
            timeout: Seconds for a whole call once the endpoint is awake (`total`), which also caps `first_byte`
                and `stream_idle`; or all limits; or None for `base`.
            base: What the unnamed limits come from.

        Raises:
            ConfigurationError: It is not a positive number.
        """
        base = base or cls()
        if timeout is None:
            return base
        if isinstance(timeout, Timeouts):
            return timeout
        if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout > 0:
            raise ConfigurationError(f"timeout is {timeout!r}: give seconds above 0, or llama70b.Timeouts(...)")
        return replace(
            base,
            total=float(timeout),
            first_byte=min(base.first_byte, timeout),
            stream_idle=min(base.stream_idle, timeout),
        )


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One OpenAI-compatible vLLM endpoint.

    Attributes:
        base_url: `https://host[/path]`, with or without the final `/v1`. Plain http only for this machine, or with
            `allow_insecure`.
        model: Name the server serves the model under.
        api_key: Bearer key; a Modal proxy token may be given here in one piece, `wk-....ws-...`.
        modal_key: Modal proxy token id (`wk-...`), with `modal_secret`, when `api_key` is vLLM's own.
        modal_secret: Modal proxy token secret (`ws-...`).
        timeouts: Time limits.
        max_retries: Retries after the first attempt, for faults that are safe to retry. A cold start costs none.
        max_connections: Most requests in flight from one client.
        context_window: Tokens, if you know better than the server's `/v1/models`.
        ingress: How the endpoint answers while it sleeps; `auto` finds out.
        allow_insecure: Permit plain http to another machine.
        price_per_hour: Dollars an hour while the container is up; answers then carry an estimate of their cost.
    """

    base_url: str
    model: str = DEFAULT_MODEL
    api_key: Secret | str | None = field(default=None, repr=False)
    modal_key: Secret | str | None = field(default=None, repr=False)
    modal_secret: Secret | str | None = field(default=None, repr=False)
    timeouts: Timeouts = field(default_factory=Timeouts)
    max_retries: int = 2
    max_connections: int = 512
    context_window: int | None = None
    ingress: Ingress = "auto"
    allow_insecure: bool = False
    price_per_hour: float | None = None

    def __post_init__(self) -> None:
        put = object.__setattr__  # the dataclass is frozen; normalising is part of its construction
        put(self, "base_url", _normalised(self.base_url, allow_insecure=self.allow_insecure))
        for name in ("api_key", "modal_key", "modal_secret"):
            value = getattr(self, name)
            if isinstance(value, str):
                put(self, name, Secret(value, name=name))
            elif value is not None and not isinstance(value, Secret):
                raise ConfigurationError(f"{name} is a {type(value).__name__}", hint="give text, or a llama70b.Secret")
        if (self.modal_key is None) != (self.modal_secret is None):
            raise ConfigurationError("modal_key and modal_secret go together", hint="give both, or neither")
        if not isinstance(self.model, str) or not self.model.strip():
            raise ConfigurationError("model is empty", hint=f"leave it out for {DEFAULT_MODEL}")
        for name, least in (("max_retries", 0), ("max_connections", 1), ("context_window", 1)):
            value = getattr(self, name)
            if value is None and name == "context_window":
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ConfigurationError(f"{name} is {value!r}: give a whole number, {least} or more")

        price = self.price_per_hour
        if price is not None and (isinstance(price, bool) or not 0 <= price < float("inf")):
            raise ConfigurationError(f"price_per_hour is {price!r}: give dollars an hour, 0 or more")

    @classmethod
    def from_env(
        cls,
        *,
        prefix: str = "LLAMA70B",
        environ: Mapping[str, str] | None = None,
        **explicit: Any,
    ) -> Endpoint:
        """Build an endpoint from the environment, explicit arguments first.

        Args:
            prefix: `LLAMA70B`, or `LLAMA8B` for the sibling. Read are `<prefix>_BASE_URL`, `_API_KEY`, `_MODAL_KEY`,
                `_MODAL_SECRET`, `_MODEL`, and `_PRICE_PER_HOUR` or `_PROFILE` for the price; nothing else, in
                particular no `OPENAI_*`.
            environ: Instead of `os.environ`.
            **explicit: Fields of `Endpoint`; None means not given.

        Raises:
            ConfigurationError: No URL anywhere, or a value that cannot work.
        """
        given = {name: value for name, value in explicit.items() if value is not None}
        url_from_env = _variable(environ, f"{prefix}_BASE_URL")
        if "base_url" not in given:
            if not url_from_env:
                raise ConfigurationError("no endpoint is configured", hint=_NO_URL_HINT.format(env=prefix))
            given["base_url"] = url_from_env
        # A key set beside another URL belongs to that URL: it is not sent elsewhere.
        key_is_for_us = not url_from_env or _same_origin(url_from_env, str(given["base_url"]))
        names = ("api_key", "modal_key", "modal_secret")
        if key_is_for_us and not any(name in given for name in names):
            for name in names:
                # In no variable of this frame: what is raised here may be printed with them.
                if _variable(environ, variable := f"{prefix}_{name.upper()}"):
                    given[name] = Secret(_variable(environ, variable), name=variable)
        if "model" not in given and (model := _variable(environ, f"{prefix}_MODEL")):
            given["model"] = model
        if "price_per_hour" not in given and (
            _variable(environ, f"{prefix}_PRICE_PER_HOUR") or _variable(environ, f"{prefix}_PROFILE")
        ):
            from llama70b.cost.prices import price_from_env  # noqa: PLC0415 - for those who gave a price only

            if (price := price_from_env(prefix=prefix, environ=environ)) is not None:
                given["price_per_hour"] = price.dollars_per_hour
        return cls(**given)

    @property
    def root_url(self) -> str:
        """The URL without `/v1`: where `/health` and `/tokenize` are."""
        return self.base_url.removesuffix("/v1")

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port: all that credentials are ever sent to."""
        return origin_of(self.base_url)

    @property
    def holds_requests(self) -> bool:
        """Whether a sleeping endpoint holds the request (a Modal Web Function) instead of answering 503."""
        if self.ingress != "auto":
            return self.ingress == "function"
        return self.origin[1].endswith(".modal.run")

    def auth_headers(self) -> dict[str, str]:
        """Return the headers that carry the credentials, in the clear. Never log the result."""
        headers = {}
        for header, secret, form in (
            ("Authorization", self.api_key, "Bearer {}"),
            ("Modal-Key", self.modal_key, "{}"),
            ("Modal-Secret", self.modal_secret, "{}"),
        ):
            if isinstance(secret, Secret):
                headers[header] = form.format(secret.get_secret_value())
        return headers

    def redacted(self, received: bytes) -> bytes:
        """Return what a server sent with our credentials struck out: some echo a key they refuse."""
        for clear in self._clear():
            received = received.replace(clear.encode(), b"**********")
        return received

    def striker(self) -> Callable[[str], str]:
        """Return a function that strikes our credentials out of text a server sent; as `redacted`, for many texts."""
        clear = self._clear()  # in a function's cell, where no dump of an object that holds the function shows it

        def struck(received: str) -> str:
            for one in clear:
                if one in received:
                    received = received.replace(one, "**********")
            return received

        return struck

    def _clear(self) -> list[str]:
        """Return what is struck out: each credential, as it is and as JSON writes it."""
        found = []
        for secret in (self.api_key, self.modal_key, self.modal_secret):
            if isinstance(secret, Secret) and len(value := secret.get_secret_value()) >= _MIN_REDACTED:
                found += [value] if (written := json.dumps(value)[1:-1]) == value else [value, written]
        return found

    def replace(self, **changes: Any) -> Endpoint:
        """Return a copy with some fields changed.

        Raises:
            ConfigurationError: The URL moves to another origin while the credentials stay: they belong to the old one.
        """
        url = changes.get("base_url")
        kept = {name for name in ("api_key", "modal_key", "modal_secret") if getattr(self, name)} - set(changes)
        if kept and url is not None and not _same_origin(str(url), self.base_url):
            raise ConfigurationError(
                "base_url moves to another origin, but the credentials belong to the present one",
                hint=f"pass {', '.join(f'{name}=...' for name in sorted(kept))} for the new one, or None",
            )
        return replace(self, **changes)

    def openai_kwargs(self) -> dict[str, Any]:
        """Return keyword arguments for `ChatOpenAI` or `openai.OpenAI`-style clients, key in the clear.

        A way out for those who need such a client. It has none of this package's cold-start handling, its SDK sends
        custom headers along on redirects, and it reads `OPENAI_*` from the environment.
        """
        api_key = self.api_key.get_secret_value() if isinstance(self.api_key, Secret) else "none"
        kwargs: dict[str, Any] = {
            "base_url": self.base_url,
            "api_key": api_key,
            "model": self.model,
            "timeout": self.timeouts.total,
            "max_retries": self.max_retries,
        }
        if self.modal_key is not None:
            headers = self.auth_headers()
            kwargs["default_headers"] = {name: headers[name] for name in ("Modal-Key", "Modal-Secret")}
        return kwargs


def origin_of(url: str) -> tuple[str, str, int]:
    """Return scheme, host and port of a URL; raises ValueError for a port that is none."""
    parts = urlsplit(url)
    default_port = 443 if parts.scheme == "https" else 80
    return parts.scheme, (parts.hostname or "").lower(), parts.port or default_port


def _variable(environ: Mapping[str, str] | None, name: str) -> str:
    return (os.environ if environ is None else environ).get(name, "").strip()


_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 5.6.2
_OURS = frozenset(
    "accept accept-encoding connection content-encoding content-length content-type expect host te trailer"
    " transfer-encoding upgrade user-agent x-request-id".split()
)
_CREDENTIALS = frozenset("api-key authorization cookie modal-key modal-secret proxy-authorization x-api-key".split())


def checked_headers(headers: Mapping[str, str] | None) -> dict[str, str]:
    """Return the further headers of a call, if they may be sent.

    Such as `Modal-Session-ID`, by which Modal leads the calls of a conversation to the same container. They go with
    every exchange of the call, retries and polls included, and like the credentials to the endpoint's origin only.

    Raises:
        ConfigurationError: One is no header, carries a credential, or is the client's own. Its value is not shown.
    """
    checked = {}
    for name, value in (headers or {}).items():
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            raise ConfigurationError("headers has a name that no header can have", hint="letters, digits and hyphens")
        if name.lower() in _CREDENTIALS:
            raise ConfigurationError(f"headers may not carry {name}", hint="give credentials to the Endpoint")
        if name.lower() in _OURS:
            raise ConfigurationError(f"headers may not set {name}: the client does")
        if not isinstance(value, str) or not (value.isascii() and value.isprintable()):
            raise ConfigurationError(f"headers[{name!r}] is no text of one line in printable ASCII")
        checked[name] = value.strip()
    return checked


def _same_origin(one: str, other: str) -> bool:
    try:
        return origin_of(one.strip()) == origin_of(other.strip())
    except ValueError:  # an impossible port; the constructor will say so
        return False


def _normalised(url: str, *, allow_insecure: bool) -> str:
    """Return `scheme://host[:port][/path]/v1`, or raise ConfigurationError saying what is wrong with `url`."""
    if not isinstance(url, str) or not url.strip():
        raise ConfigurationError("base_url is empty", hint=_NO_URL_HINT.format(env="LLAMA70B"))
    url = url.strip()
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:  # its text is not quoted: it may hold a password
        raise ConfigurationError("base_url has an impossible host or port", hint="like https://host:8000/v1") from None
    if "://" not in url:  # not echoed: a key in the wrong place looks like this
        raise ConfigurationError("base_url is not an http(s) URL", hint="like https://host/v1")
    if parts.username or parts.password:
        # Not echoed: it holds a password.
        raise ConfigurationError("base_url holds a user name or password", hint="give the key as api_key=...")
    if parts.scheme not in {"http", "https"} or not host or port == 0:
        raise ConfigurationError(
            f"base_url is not an http(s) URL but {parts.scheme[:20]!r}", hint="like https://host/v1"
        )
    if parts.query or parts.fragment:
        raise ConfigurationError("base_url holds a query or a fragment", hint="give scheme, host and path only")
    if not url.isascii() or any(c.isspace() or not c.isprintable() for c in url):
        raise ConfigurationError("base_url holds white space or characters outside ASCII")
    if parts.scheme == "http" and not allow_insecure and not _is_this_machine(host):
        raise ConfigurationError(
            f"base_url {url!r} would send prompts and key unencrypted to another machine",
            hint="use https, or allow_insecure=True on a network you trust",
        )
    if len(host) > _MAX_HOST or any(not 0 < len(label) <= _MAX_LABEL for label in host.removesuffix(".").split(".")):
        raise ConfigurationError("base_url has a host name that cannot exist: a part is empty or too long")
    path = parts.path.rstrip("/")
    if not path.endswith("/v1"):
        path += "/v1"
    netloc = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{netloc}{f':{port}' if port else ''}{path}"


def _is_this_machine(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
