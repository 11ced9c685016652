"""What the gateway lets through, pure: paths, hosts, keys, the request's shape and its caps, and each key's rate.

Anything not named here is refused, so that a field a future vLLM learns is not open by accident. Caps and refused
fields answer known advisories (docs/serving.md, "What the gateway refuses").
"""

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

import pydantic_core
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from server.command import MAX_CHOICES, MAX_STOP_STRINGS, MAX_TOP_LOGPROBS

MAX_TOKENS: Final = 4096
MAX_LOGIT_BIAS: Final = 300
MAX_SCHEMA_BYTES: Final = 32 << 10
MAX_SCHEMA_DEPTH: Final = 8
MAX_MESSAGES: Final = 512
MAX_HOLD_S: Final = 3600
MAX_TOOLS: Final = 64

ROUTES: Final[Mapping[bytes, frozenset[str]]] = {
    b"/status": frozenset({"GET"}),
    b"/wake": frozenset({"POST"}),
    b"/health": frozenset({"GET"}),
    b"/v1/models": frozenset({"GET"}),
    b"/v1/chat/completions": frozenset({"POST"}),
    b"/openapi.json": frozenset({"GET"}),
}
_HOST: Final = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?|\[[0-9a-fA-F:.]+\])(?::\d{1,5})?")
_NAME_MAPS: Final = frozenset({"properties", "$defs", "definitions", "dependentSchemas"})
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Refused(Exception):
    """A request that is answered with an error object.

    Attributes:
        status: HTTP status.
        code: Machine-readable reason.
        message: What was wrong and what is allowed.
        retry_after: Seconds for the Retry-After header.
        param: The offending field.
    """

    def __init__(
        self, status: int, code: str, message: str, *, retry_after: int | None = None, param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.retry_after, self.param = retry_after, param

    def to_json(self) -> dict[str, Any]:
        """The body in OpenAI's shape."""
        kinds = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error", 503: "server_warming"}
        kind = kinds.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")  # noqa: PLR2004
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def to_event(self) -> bytes:
        """The same as the last event of a stream that broke; no `[DONE]` follows, so nobody takes it for complete."""
        return b"data: " + json.dumps(self.to_json()).encode() + b"\n\n"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


Number = Annotated[float, Field(allow_inf_nan=False)]
_Stops = Annotated[list[Annotated[str, Field(max_length=256)]], Field(max_length=MAX_STOP_STRINGS)]
_TokenId = Annotated[str, Field(pattern=r"^[0-9]{1,6}$")]
_Bias = Annotated[Number, Field(ge=-100, le=100)]
ToolName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_.-]{1,64}$")]


class TextPart(_Strict):
    """A text part of a message; images and audio are refused: the model reads text."""

    type: Literal["text"]
    text: str


class CalledFunction(_Strict):
    """The function of a call in history."""

    name: ToolName
    arguments: str


class PastCall(_Strict):
    """A tool call in history."""

    id: Annotated[str, Field(max_length=128)]
    type: Literal["function"] = "function"
    function: CalledFunction


class Message(_Strict):
    """One message."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None
    name: Annotated[str, Field(max_length=64)] | None = None
    tool_calls: Annotated[list[PastCall], Field(max_length=MAX_TOOLS)] | None = None
    tool_call_id: Annotated[str, Field(max_length=128)] | None = None


class FunctionSpec(_Strict):
    """A tool's name and arguments."""

    name: ToolName
    description: Annotated[str, Field(max_length=8192)] | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Tool(_Strict):
    """A tool."""

    type: Literal["function"]
    function: FunctionSpec


class NamedFunction(_Strict):
    """The function of a named choice."""

    name: ToolName


class NamedChoice(_Strict):
    """`tool_choice` that names one tool."""

    type: Literal["function"]
    function: NamedFunction


class StreamOptions(_Strict):
    """Options of a stream."""

    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None


class NamedSchema(_Strict):
    """The schema of `response_format`."""

    name: Annotated[str, Field(max_length=64)]
    description: Annotated[str, Field(max_length=8192)] | None = None
    schema_: Annotated[dict[str, Any], Field(alias="schema")]
    strict: bool | None = None


class TextFormat(_Strict):
    """Free text, or any JSON object."""

    type: Literal["text", "json_object"]


class SchemaFormat(_Strict):
    """JSON by a schema."""

    type: Literal["json_schema"]
    json_schema: NamedSchema


class StructuredOutputs(_Strict):
    """vLLM's own constraints, without `regex` and `grammar`: both have hung workers (CVE-2026-55574)."""

    json_: Annotated[dict[str, Any] | None, Field(alias="json")] = None
    choice: Annotated[list[Annotated[str, Field(max_length=1024)]], Field(min_length=1, max_length=256)] | None = None
    json_object: Literal[True] | None = None


class ChatRequest(_Strict):
    """`POST /v1/chat/completions`, the fields that are let through."""

    model: Annotated[str, Field(max_length=256)]
    messages: Annotated[list[Message], Field(min_length=1, max_length=MAX_MESSAGES)]
    max_tokens: Annotated[int, Field(ge=1, le=MAX_TOKENS)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, le=MAX_TOKENS)] | None = None
    min_tokens: Annotated[int, Field(ge=0, le=MAX_TOKENS)] | None = None
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None = None
    temperature: Annotated[Number, Field(ge=0, le=2)] | None = None
    top_p: Annotated[Number, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1, le=128_256)] | None = None
    min_p: Annotated[Number, Field(ge=0, le=1)] | None = None
    presence_penalty: Annotated[Number, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[Number, Field(ge=-2, le=2)] | None = None
    repetition_penalty: Annotated[Number, Field(gt=0, le=2)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), le=2**63 - 1)] | None = None
    stop: Annotated[str, Field(max_length=256)] | _Stops | None = None
    logit_bias: Annotated[dict[_TokenId, _Bias], Field(max_length=MAX_LOGIT_BIAS)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=MAX_TOP_LOGPROBS)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    tools: Annotated[list[Tool], Field(max_length=MAX_TOOLS)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: TextFormat | SchemaFormat | None = None
    structured_outputs: StructuredOutputs | None = None
    user: Annotated[str, Field(max_length=256)] | None = None

    @model_validator(mode="after")
    def _across_fields(self) -> "ChatRequest":
        limit = self.max_completion_tokens or self.max_tokens or MAX_TOKENS
        if self.min_tokens is not None and self.min_tokens > limit:
            raise ValueError(f"min_tokens {self.min_tokens} is over max_tokens {limit}")
        for tool in self.tools or ():
            check_schema(tool.function.parameters, f"parameters of tool {tool.function.name}")
        if isinstance(self.response_format, SchemaFormat):
            check_schema(self.response_format.json_schema.schema_, "response_format's schema")
        if self.structured_outputs is not None:
            check_schema(self.structured_outputs.json_, "structured_outputs.json")
        return self

    def to_upstream(self, cache_salt: str) -> bytes:
        """What vLLM gets: only checked fields, an explicit token limit, and a prefix cache of the key's own."""
        body = self.model_dump(mode="json", by_alias=True, exclude_unset=True)
        if self.max_tokens is None and self.max_completion_tokens is None:
            body["max_tokens"] = MAX_TOKENS  # vLLM clips it to what the window leaves
        body["cache_salt"] = cache_salt
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


class WakeOptions(_Strict):
    """Body of `POST /wake`."""

    hold_s: Annotated[int, Field(ge=0, le=MAX_HOLD_S)] = 0


def parse_chat(body: bytes) -> ChatRequest:
    """Read and check a chat request.

    Args:
        body: The request's bytes, already capped in size.

    Returns:
        The request.

    Raises:
        Refused: 400 with the first thing that is wrong.
    """
    try:
        # Not json.loads: this parser is bounded in depth, and refuses NaN and lone surrogates.
        value = pydantic_core.from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise Refused(400, "invalid_json", f"the body is not JSON that we read: {error}") from None
    try:
        return ChatRequest.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        code = "unknown_field" if first["type"] == "extra_forbidden" else "invalid_value"
        raise Refused(400, code, f"{where or 'request'}: {first['msg']}", param=where or None) from None


def check_schema(schema: dict[str, Any] | None, what: str) -> None:
    """Refuse a JSON schema that could stall the engine's grammar compiler.

    Args:
        schema: The caller's schema.
        what: How to name it in the error.

    Raises:
        ValueError: Too large, too deep, or with a regular expression in it.
    """
    if schema is None:
        return
    # One schema level is an object and the map inside it ("properties"), so JSON may nest twice as deep.
    pending: list[tuple[Any, int, bool]] = [(schema, 1, False)]
    while pending:
        node, depth, is_name_map = pending.pop()
        if depth > 2 * MAX_SCHEMA_DEPTH:
            raise ValueError(f"{what} nests deeper than {MAX_SCHEMA_DEPTH} schemas")
        if isinstance(node, dict):
            if not is_name_map and (found := {"pattern", "patternProperties"} & node.keys()):
                raise ValueError(f"{what} uses {found.pop()!r}, which is refused")
            pending += [(child, depth + 1, key in _NAME_MAPS and not is_name_map) for key, child in node.items()]
        elif isinstance(node, list):
            pending += [(child, depth + 1, False) for child in node]
    if len(json.dumps(schema, ensure_ascii=False).encode()) > MAX_SCHEMA_BYTES:
        raise ValueError(f"{what} is over {MAX_SCHEMA_BYTES} bytes")


def check_host(hosts: list[bytes], allowed: frozenset[str]) -> None:
    """Refuse a Host header that is absent, doubled, malformed or foreign.

    vLLM's key check was bypassable through one (CVE-2026-48746), so none reaches it.

    Args:
        hosts: All values of the header.
        allowed: Host names without port; empty allows every well-formed one.

    Raises:
        Refused: 400.
    """
    if len(hosts) != 1:
        raise Refused(400, "invalid_host", f"exactly one Host header is needed, got {len(hosts)}")
    text = hosts[0].decode("latin-1")
    if not _HOST.fullmatch(text):
        raise Refused(400, "invalid_host", "the Host header is not a host name")
    if allowed and re.sub(r":\d+$", "", text).lower() not in allowed:
        raise Refused(400, "invalid_host", "this host is not served here")


def check_route(raw_path: bytes, method: str) -> None:
    """Match the path's bytes as sent: nothing is decoded, joined or lowered before the comparison.

    Args:
        raw_path: The path without its query, percent-encoding untouched.
        method: HTTP method.

    Raises:
        Refused: 404 or 405.
    """
    methods = ROUTES.get(raw_path)
    if methods is None:
        raise Refused(404, "not_found", f"served here: {', '.join(path.decode() for path in ROUTES)}")
    if method not in methods:
        raise Refused(405, "method_not_allowed", f"use {' or '.join(sorted(methods))}")


def check_key(authorization: list[bytes], keys: Mapping[str, bytes]) -> str:
    """Find whose key a request carries, in time that does not depend on the key.

    Args:
        authorization: All values of the Authorization header.
        keys: Name -> SHA-256 of the key.

    Returns:
        The name.

    Raises:
        Refused: 401.
    """
    sent = authorization[0] if len(authorization) == 1 else b""
    scheme, _, token = sent.partition(b" ")
    digest = hashlib.sha256(token.strip()).digest()
    found = ""
    for name, expected in keys.items():  # no early exit: every key is compared, digests have one length
        if hmac.compare_digest(digest, expected):
            found = name
    if not found or scheme.lower() != b"bearer":
        raise Refused(401, "invalid_api_key", "a key is needed: Authorization: Bearer <key>")
    return found


def digest_keys(keys: Mapping[str, str]) -> dict[str, bytes]:
    """Hash the configured keys, so that comparison needs no plain text."""
    return {name: hashlib.sha256(key.strip().encode()).digest() for name, key in keys.items()}


def request_id(sent: str | None) -> str | None:
    """The caller's request id where it is short and plain, else None."""
    return sent if sent and _REQUEST_ID.fullmatch(sent) else None


@dataclass(slots=True)
class Allowance:
    """A key's token bucket and its running requests. Tokens are charged when they are known: after the answer.

    Attributes:
        per_minute: Tokens that flow in per minute, and the most that collect.
        concurrent: Requests at once.
        left: Tokens in the bucket; below zero after a large answer.
        at: When `left` was computed, in seconds of any clock.
        running: Requests at this moment.
    """

    per_minute: int
    concurrent: int
    left: float = field(init=False)
    at: float | None = None
    running: int = 0

    def __post_init__(self) -> None:
        self.left = float(self.per_minute)

    def admit(self, now: float) -> None:
        """Take a place, or refuse.

        Raises:
            Refused: 429, with the seconds until the bucket holds a token again.
        """
        self._refill(now)
        if self.running >= self.concurrent:
            raise Refused(429, "too_many_requests", f"{self.concurrent} requests at once are allowed", retry_after=1)
        if self.left <= 0:
            wait = int(-self.left * 60 / self.per_minute) + 1
            raise Refused(429, "tokens_per_minute", f"{self.per_minute} tokens a minute are allowed", retry_after=wait)
        self.running += 1

    def release(self, now: float, tokens: int) -> None:
        """Give the place back and pay for what was used."""
        self._refill(now)
        self.running -= 1
        self.left -= tokens

    def _refill(self, now: float) -> None:
        elapsed = 0.0 if self.at is None else max(0.0, now - self.at)
        self.left = min(float(self.per_minute), self.left + elapsed * self.per_minute / 60)
        self.at = now
