"""A stand-in for `vllm serve`: its command line, its log, its HTTP surface, its ways to die. No model.

    python stub_vllm.py serve MODEL --port 8000 --served-model-name NAME ...

Environment: STUB_BOOT_S seconds of boot; STUB_CRASH=loading dies half-way; STUB_TOKEN_S seconds per token, STUB_TOKENS
    how
many; STUB_JOURNAL a file that gets one JSON line per request (started, finished, aborted). A prompt that contains CRASH
kills the process mid-stream.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

BOOT_S = float(os.environ.get("STUB_BOOT_S", "0"))
TOKEN_S = float(os.environ.get("STUB_TOKEN_S", "0.002"))
TOKENS = int(os.environ.get("STUB_TOKENS", "8"))
JOURNAL = os.environ.get("STUB_JOURNAL")
KEY = os.environ.get("VLLM_API_KEY")


def journal(**entry: Any) -> None:
    if JOURNAL:
        with Path(JOURNAL).open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


def boot() -> None:
    """The log of a boot, in vLLM's words, progress bar included."""
    step = BOOT_S / 10
    print("INFO 11-22 10:00:00 [gpu_model_runner.py:4979] Starting to load model stub...", flush=True)
    for shard in range(1, 5):
        time.sleep(step)
        text = f"Loading safetensors checkpoint shards: {shard * 25:3d}% Completed | {shard}/4 [00:01<00:01,  1.0it/s]"
        sys.stderr.write(f"\r{text}")
        sys.stderr.flush()
        if os.environ.get("STUB_CRASH") == "loading" and shard == 2:
            print("\nRuntimeError: Engine core initialization failed. CUDA out of memory", flush=True)
            sys.exit(3)
    print("\nINFO Model loading took 67.7 GiB memory and 31.000000 seconds", flush=True)
    time.sleep(2 * step)
    print("INFO torch.compile took 7.00 s in total", flush=True)
    print("INFO GPU KV cache size: 182,000 tokens, 44.43x concurrency", flush=True)
    time.sleep(2 * step)
    sys.stderr.write("Capturing CUDA graphs (mixed prefill-decode, PIECEWISE): 100%|####| 7/7 [00:01<00:00]\n")
    time.sleep(2 * step)
    print("INFO Graph capturing finished in 2 secs, took 0.50 GiB", flush=True)
    print("INFO Starting vLLM server on http://127.0.0.1", flush=True)


def chunk(model: str, delta: dict[str, Any], **extra: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": extra.pop("finish_reason", None)}
    body = {"id": "chatcmpl-stub", "object": "chat.completion.chunk", "model": model, "choices": [choice], **extra}
    return f"data: {json.dumps(body)}\n\n".encode()


def usage(tokens: int) -> dict[str, Any]:
    return {
        "prompt_tokens": 11,
        "completion_tokens": tokens,
        "total_tokens": 11 + tokens,
        "prompt_tokens_details": {"cached_tokens": 4},
    }


def application(names: list[str]) -> Starlette:
    async def health(_: Request) -> Response:
        return PlainTextResponse("")

    async def models(_: Request) -> Response:
        data = [{"id": name, "object": "model", "max_model_len": 4096} for name in names]
        return JSONResponse({"object": "list", "data": data})

    async def chat(request: Request) -> Response:
        if KEY and request.headers.get("authorization") != f"Bearer {KEY}":
            return JSONResponse({"error": "Unauthorized"}, status_code=401)
        body = await request.json()
        text = json.dumps(body["messages"])
        tokens = min(int(body.get("max_tokens") or TOKENS), TOKENS)
        request_id = request.headers.get("x-request-id")
        journal(event="started", request_id=request_id, body=body)

        async def events() -> AsyncIterator[bytes]:
            finished = False
            try:
                for number in range(tokens):
                    await asyncio.sleep(TOKEN_S)
                    if "CRASH" in text and number == 2:
                        os._exit(7)
                    yield chunk(body["model"], {"content": f"t{number} "})
                yield chunk(body["model"], {}, finish_reason="stop", usage=usage(tokens))
                yield b"data: [DONE]\n\n"
                finished = True
            finally:
                journal(event="finished" if finished else "aborted", request_id=request_id)

        if body.get("stream"):
            return StreamingResponse(events(), media_type="text/event-stream")
        for _ in range(tokens):
            await asyncio.sleep(TOKEN_S)
            if await request.is_disconnected():  # vLLM watches for this too (with_cancellation)
                journal(event="aborted", request_id=request_id)
                return PlainTextResponse("")
        if "CRASH" in text:
            os._exit(7)
        message: dict[str, Any] = {"role": "assistant", "content": "Hello!"}
        if body.get("tools"):
            name = body["tools"][0]["function"]["name"]
            call = {"id": "call-1", "type": "function", "function": {"name": name, "arguments": '{"city": "Paris"}'}}
            message = {"role": "assistant", "content": None, "tool_calls": [call]}
        journal(event="finished", request_id=request_id)
        reason = "tool_calls" if body.get("tools") else "stop"
        choice = {"index": 0, "message": message, "finish_reason": reason}
        return JSONResponse(
            {
                "id": "x",
                "object": "chat.completion",
                "model": body["model"],
                "choices": [choice],
                "usage": usage(tokens),
            }
        )

    async def invocations(_: Request) -> Response:
        journal(event="invocations")
        return PlainTextResponse("inference without a key")

    return Starlette(
        routes=[
            Route("/health", health),
            Route("/v1/models", models),
            Route("/v1/chat/completions", chat, methods=["POST"]),
            Route("/invocations", invocations, methods=["GET", "POST"]),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("serve")
    parser.add_argument("model")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--served-model-name", nargs="+", default=["stub"])
    options, _ = parser.parse_known_args()
    boot()
    # As vLLM: SIGTERM stops accepting and lets running requests finish.
    uvicorn.run(
        application(options.served_model_name),
        host="127.0.0.1",
        port=options.port,
        log_level="warning",
        timeout_graceful_shutdown=30,
    )


if __name__ == "__main__":
    main()
