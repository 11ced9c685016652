"""The gateway's OpenAPI description, made from the models that check the requests, so that it cannot say less."""

from functools import cache
from typing import Any

from server.gateway_rules import MAX_HOLD_S, ChatRequest

_REFS = "#/components/schemas/{model}"
_SECONDS = {"type": "number", "minimum": 0}
_STATUS_SCHEMA = {
    "type": "object",
    "required": ["phase", "since_s", "eta_s", "boot_s"],
    "additionalProperties": False,
    "properties": {
        "phase": {
            "enum": ["cold", "scheduling", "loading", "compiling", "warming", "ready", "draining", "failed"],
        },
        "since_s": {**_SECONDS, "description": "Seconds in this phase."},
        "eta_s": {"type": ["number", "null"], "description": "Estimated seconds until ready; a whole boot when cold."},
        "boot_s": {**_SECONDS, "description": "Estimated seconds of a whole boot: median of the last ones."},
        "shards": {
            "type": "object",
            "required": ["loaded", "total"],
            "properties": {"loaded": {"type": "integer"}, "total": {"type": "integer"}},
        },
        "error": {"type": "string"},
    },
}
_ERROR_SCHEMA = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": "string"},
            },
        }
    },
}
_MEANING = {
    "400": "Not what the schema says, or over a cap",
    "401": "No key, or a wrong one",
    "404": "No such path or model",
    "405": "Another method is meant",
    "408": "The body came too slowly",
    "413": "The body is too large",
    "429": "Over this key's rate; see Retry-After",
    "503": "Not awake yet; see Retry-After",
}


def _answers(success: dict[str, Any], *codes: str) -> dict[str, Any]:
    error = {"application/json": {"schema": {"$ref": _REFS.format(model="Error")}}}
    retry = {"Retry-After": {"schema": {"type": "integer"}}}
    failures = {
        code: {
            "description": _MEANING[code],
            "content": error,
            **({"headers": retry} if code in {"429", "503"} else {}),
        }
        for code in ("400", "401", "405", *codes)
    }
    return {**success, **failures}


def _json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


@cache
def document() -> dict[str, Any]:
    """The OpenAPI 3.1 document of the gateway."""
    chat = ChatRequest.model_json_schema(ref_template=_REFS, by_alias=True)
    shapes = {**chat.pop("$defs"), "ChatRequest": chat, "Status": _STATUS_SCHEMA, "Error": _ERROR_SCHEMA}
    status = {"$ref": _REFS.format(model="Status")}
    anything = {"type": "object"}
    stream = {"text/event-stream": {"schema": {"type": "string"}}}
    answer = _json("The answer, whole or as events", anything)
    answer["content"].update(stream)
    hold = {"type": "integer", "minimum": 0, "maximum": MAX_HOLD_S, "description": "Seconds to keep a replica up."}
    wake = {"type": "object", "additionalProperties": False, "properties": {"hold_s": hold}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "llama70b gateway", "version": "1"},
        "security": [{"key": []}],
        "paths": {
            "/status": {"get": {"operationId": "status", "responses": _answers({"200": _json("The state", status)})}},
            "/wake": {
                "post": {
                    "operationId": "wake",
                    "requestBody": {"required": False, "content": {"application/json": {"schema": wake}}},
                    "responses": _answers(
                        {"200": _json("It is awake", status), "202": _json("It is waking", status)}, "408", "413", "503"
                    ),
                }
            },
            "/health": {
                "get": {"operationId": "health", "responses": _answers({"200": {"description": "Awake"}}, "503")}
            },
            "/v1/models": {
                "get": {"operationId": "models", "responses": _answers({"200": _json("Models", anything)}, "503")}
            },
            "/v1/chat/completions": {
                "post": {
                    "operationId": "chat",
                    "requestBody": {
                        "required": True,
                        "content": {"application/json": {"schema": {"$ref": _REFS.format(model="ChatRequest")}}},
                    },
                    "responses": _answers({"200": answer}, "404", "408", "413", "429", "503"),
                }
            },
            "/openapi.json": {
                "get": {"operationId": "openapi", "responses": _answers({"200": _json("This document", anything)})}
            },
        },
        "components": {"schemas": shapes, "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
    }
