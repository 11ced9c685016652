"""An HTTP status and an error body, or an error inside a 200 or a stream, as one of our typed errors. No I/O.

Bodies seen: vLLM nested `{"error": {"message", "type", "param", "code"}}`, older vLLM flat `{"object": "error", ...}`,
vLLM's key check `{"error": "Unauthorized"}`, FastAPI `{"detail": ...}`, Modal's proxy plain text `modal-http: ...`,
gateways HTML. Text that is not a JSON error object or Modal's own line is never quoted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llama70b._retry import parse_retry_after
from llama70b.errors import (
    AuthenticationError,
    BadRequest,
    ContextOverflow,
    EndpointUnavailable,
    Llama70BError,
    NotFound,
    PermissionDenied,
    ProtocolError,
    RateLimited,
    ServerError,
)

_MAX_QUOTE = 500
_WINDOW = re.compile(
    r"(?:maximum (?:context|model|sequence) length|context length is only)[^\d]{0,40}(\d+)", re.IGNORECASE
)
_PROMPT = re.compile(
    r"(?:prompt contains(?: at least)?|(?:prompt|input|request) \(?(?:has|is|length)(?: of)?(?: at least)?|resulted in"
    r"|you (?:passed|requested)(?: a total of)?)\s*\(?(\d+)",
    re.IGNORECASE,
)
_STATUS = re.compile(r"[1-9][0-9]{2}", re.ASCII)
_IN_MESSAGES = re.compile(r"\((\d+) in the messages, (\d+) in the completion\)")


@dataclass(frozen=True, slots=True)
class Refusal:
    """What an error body says, whatever its shape.

    Attributes:
        message: The server's words, "" if it sent none we may quote.
        code: HTTP-like status inside the object, None if there is none.
        param: The request field it complains about.
        body: The parsed object, None if the body was not one.
        modal: Whether Modal's proxy spoke instead of vLLM.
    """

    message: str = ""
    code: int | None = None
    param: str | None = None
    body: Mapping[str, Any] | None = None
    modal: bool = False


def read_refusal(body: bytes) -> Refusal:
    """Return what an error body says; never raises, because the status alone is enough to go on."""
    text = body[: 64 * 1024].decode(errors="replace").strip()
    if text.startswith("modal-http"):
        line = text.splitlines()[0][:_MAX_QUOTE]
        return Refusal(message=line, body={"text": line}, modal=True)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return Refusal()
    return refusal_in(value) or Refusal(body=value if isinstance(value, dict) else None)


def refusal_in(value: Any) -> Refusal | None:
    """Return the error a JSON object carries, None if it carries none (an answer, say)."""
    if not isinstance(value, dict):
        return None
    error = value.get("error")
    if error is None and (value.get("object") == "error" or ("detail" in value and "choices" not in value)):
        error = value
    if error is None or error is False:
        return None
    if not isinstance(error, dict):
        return Refusal(message=_clip(error), body=value)
    message = error.get("message") or error.get("detail") or error.get("type") or ""
    code, param = error.get("code"), error.get("param")
    return Refusal(
        message=_clip(message),
        code=int(code) if isinstance(code, int | str) and _STATUS.fullmatch(str(code)) else None,
        param=param if isinstance(param, str) else None,
        body=value,
    )


def _clip(value: Any) -> str:
    try:
        text = value if isinstance(value, str) else json.dumps(value, default=str)
    except RecursionError:
        return ""
    return text if len(text) <= _MAX_QUOTE else text[:_MAX_QUOTE] + " ..."


def error_for(
    status: int,
    refusal: Refusal,
    *,
    request_id: str | None = None,
    retry_after: str | None = None,
    now: float = 0.0,
    has_key: bool = True,
    requested_tokens: int | None = None,
) -> Llama70BError:
    """Return the typed error for a refused call.

    Args:
        status: HTTP status, or the code inside an error object.
        refusal: What the body says.
        request_id: Our id of the call.
        retry_after: The header as received.
        now: Unix seconds, to read a `Retry-After` that is a date.
        has_key: Whether a credential was sent, for the hint.
        requested_tokens: `max_tokens` of the request.
    """
    said = f": {refusal.message}" if refusal.message else ""
    common: dict[str, Any] = {"status": status, "request_id": request_id, "body": refusal.body}
    wait = parse_retry_after(retry_after, now=now)
    match status:
        case 401 | 407:
            who = "Modal's proxy" if refusal.modal else "the server"
            return AuthenticationError(
                f"{who} refused the credential (HTTP {status}){said}", hint=_key_hint(refusal, has_key), **common
            )
        case 403:
            return PermissionDenied(
                f"not allowed (HTTP 403){said}", hint="is the key scoped to this environment and path?", **common
            )
        case 404 | 405 | 410:
            return NotFound(f"not found (HTTP {status}){said}", **common)
        case 400 | 413 | 422 if _is_overflow(refusal):
            return _overflow(refusal, requested_tokens, common)
        case 429:
            return RateLimited(f"too many requests (HTTP 429){said}", retry_after=wait, **common)
        case 503:
            return EndpointUnavailable(f"the endpoint does not serve (HTTP 503){said}", retry_after=wait, **common)
        case _ if 400 <= status < 500:  # noqa: PLR2004 - the class of client errors
            return BadRequest(
                f"the server refused the request (HTTP {status}){said}", hint=_bad_hint(refusal), **common
            )
        case _ if status >= 500:  # noqa: PLR2004 - the class of server errors
            return ServerError(f"the server failed (HTTP {status}){said}", **common)
        case _:
            return ProtocolError(f"unexpected HTTP status {status}{said}", **common)


def error_in_answer(refusal: Refusal, *, request_id: str | None = None, where: str = "the answer") -> Llama70BError:
    """Return the typed error for an error object that came with HTTP 200, in a body or in a stream."""
    error = error_for(refusal.code or 500, refusal, request_id=request_id)
    error.message = f"error inside {where}: {refusal.message or 'no message'}"
    error.args = (error.message,)
    return error


def _key_hint(refusal: Refusal, has_key: bool) -> str:
    if refusal.modal:
        return "give the proxy token as api_key='wk-....ws-...' or as modal_key and modal_secret"
    if not has_key:
        return "no key was sent: set LLAMA70B_API_KEY or pass api_key=..."
    return "check LLAMA70B_API_KEY / api_key: it must be the one this server was started with"


def _bad_hint(refusal: Refusal) -> str:
    words = refusal.message.lower()
    if "tool-call-parser" in words or "auto-tool-choice" in words or '"auto" tool choice' in words:
        return "start vLLM with --enable-auto-tool-choice --tool-call-parser llama3_json"
    if "grammar" in words or "schema" in words:
        return "simplify the JSON schema, regex or grammar: the server's compiler does not take it"
    return ""


def _is_overflow(refusal: Refusal) -> bool:
    if refusal.param == "max_tokens":
        return False  # only the wished-for answer is too long; cutting the prompt would not help
    words = refusal.message.lower()
    return (
        bool(_WINDOW.search(words))
        or "exceeds the available context size" in words
        or "longer than the maximum" in words
    )


def _overflow(refusal: Refusal, requested: int | None, common: dict[str, Any]) -> ContextOverflow:
    window, prompt = _WINDOW.search(refusal.message), _PROMPT.search(refusal.message)
    detailed = _IN_MESSAGES.search(refusal.message)
    limit = int(window[1]) if window else None
    count = int(detailed[1]) if detailed else int(prompt[1]) if prompt else None
    shown = f"the prompt has {count or 'too many'} tokens, the context window {limit or 'fewer'}"
    return ContextOverflow(
        f"{shown}: {refusal.message}",
        hint="shorten the prompt or the history; max_tokens must fit beside it",
        prompt_tokens=count,
        max_model_len=limit,
        requested_tokens=int(detailed[2]) if detailed else requested,
        **common,
    )
