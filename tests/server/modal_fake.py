"""A Modal control plane on loopback: answers every RPC of the SDK with its default reply, remembers what it was asked.

Enough for `modal deploy` to succeed and to show, as protobuf, everything that would have been deployed. Secrets can be
made to be missing. Run as a thread; the client is pointed at it by MODAL_SERVER_URL.
"""

import asyncio
import socket
import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Self

import grpclib
import grpclib.const
import grpclib.server
from modal_proto import api_grpc, api_pb2

BUILDER = "2025.06"
_IDS = {
    "app_id": "ap",
    "image_id": "im",
    "mount_id": "mo",
    "volume_id": "vo",
    "secret_id": "st",
    "class_id": "cs",
    "environment_id": "en",
    "function_id": "fu",
    "dict_id": "di",
}


class ControlPlane:
    """The fake; `seen` maps an RPC's name to its requests, in order."""

    def __init__(self) -> None:
        self.seen: dict[str, list[Any]] = defaultdict(list)
        self.missing_secrets: set[str] = set()
        self._count: dict[str, int] = defaultdict(int)
        self.made: dict[str, Any] = {}  # object id -> the request that made it
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: grpclib.server.Server | None = None
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        self._listener = listener
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run, name="modal-fake", daemon=True)
        self._ready = threading.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._loop is not None
        assert self._server is not None
        self._loop.call_soon_threadsafe(self._server.close)
        self._thread.join(10)

    def manifest(self) -> dict[str, Any]:
        """What was deployed, in the words of the SDK, ready to be read in a diff."""
        functions = [r.function if r.HasField("function") else r.function_data for r in self.seen["FunctionCreate"]]
        return {
            "app": functions[0].app_name,
            "functions": {function.function_name: self._describe(function) for function in functions},
        }

    def _describe(self, function: Any) -> dict[str, Any]:
        ranked = [entry.function for entry in getattr(function, "ranked_functions", ())] or [function]
        secrets = [self.made[identifier] for identifier in ranked[0].secret_ids]
        result: dict[str, Any] = {
            "gpus": [f"{r.resources.gpu_config.gpu_type}:{r.resources.gpu_config.count}" for r in ranked]
            if ranked[0].resources.gpu_config.count
            else [],
            "cpu_cores": ranked[0].resources.milli_cpu / 1000,
            "memory_mib": ranked[0].resources.memory_mb,
            "timeout_s": ranked[0].timeout_secs,
            "startup_timeout_s": ranked[0].startup_timeout_secs,
            "autoscaler": _message(ranked[0].autoscaler_settings),
            "max_concurrent_inputs": ranked[0].max_concurrent_inputs,
            "volumes": {
                mount.mount_path: self.made[mount.volume_id].deployment_name
                + (" (read-only)" if mount.read_only else "")
                for mount in ranked[0].volume_mounts
            },
            "secrets": {s.deployment_name: list(s.required_keys) for s in secrets if s.deployment_name},
            "environment": {k: v for s in secrets if not s.deployment_name for k, v in sorted(s.env_dict.items())},
            "image": self._image(ranked[0].image_id),
        }
        if function.is_server:
            http = function.http_config
            result["server"] = {**_message(http), "proxy_auth": not http.unauthenticated}
        if function.webhook_config.type:
            result["web"] = {
                "type": api_pb2.WebhookType.Name(function.webhook_config.type),
                "proxy_auth": function.webhook_config.requires_proxy_auth,
            }
        return result

    def _image(self, identifier: str) -> list[str]:
        """Lines of an image, its bases first; without those that only fetch Modal's own tools."""
        image = self.made[identifier].image
        below = [line for base in image.base_images for line in self._image(base.image_id)]
        return below + [
            line for line in image.dockerfile_commands if line != "FROM base" and not line.startswith("COPY --from")
        ]

    def _run(self) -> None:
        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            self._server = grpclib.server.Server([_Service(self._handlers())])
            await self._server.start(sock=self._listener)
            self._ready.set()
            await self._server.wait_closed()
            await asyncio.sleep(0.05)  # let closed transports finish, or they warn when collected

        asyncio.run(serve())

    def _handlers(self) -> dict[str, grpclib.const.Handler]:
        """One generic handler per RPC that the SDK's service base declares."""
        base = api_grpc.ModalClientBase
        probe = type("Probe", (base,), {name: _nothing for name in dir(base) if not name.startswith("_")})
        probe.__abstractmethods__ = frozenset()
        return {
            path: grpclib.const.Handler(
                self._handler(path.rsplit("/", 1)[1], old), old.cardinality, old.request_type, old.reply_type
            )
            for path, old in probe().__mapping__().items()
        }

    def _handler(self, name: str, old: grpclib.const.Handler) -> Callable[[Any], Any]:
        async def handle(stream: Any) -> None:
            request = await stream.recv_message()
            self.seen[name].append(request)
            if name == "SecretGetOrCreate" and request.deployment_name in self.missing_secrets:
                message = f"Secret '{request.deployment_name}' not found in environment 'main'"
                raise grpclib.GRPCError(grpclib.const.Status.NOT_FOUND, message)
            await stream.send_message(self._reply(name, request, old.reply_type()))

        return handle

    def _reply(self, name: str, request: Any, reply: Any) -> Any:
        fields = {field.name for field in reply.DESCRIPTOR.fields}
        for field, prefix in _IDS.items():
            if field in fields and name != "ClientHello":
                self._count[prefix] += 1
                identifier = f"{prefix}-{self._count[prefix]:022d}"
                setattr(reply, field, identifier)
                self.made[identifier] = request
        match name:
            case "ImageGetOrCreate" | "ImageJoinStreaming":
                reply.result.status = api_pb2.GenericResult.GENERIC_STATUS_SUCCESS
                reply.metadata.image_builder_version = BUILDER
            case "EnvironmentGetOrCreate":
                reply.metadata.name = "main"
                reply.metadata.settings.image_builder_version = BUILDER
            case "VolumeGetOrCreate":
                reply.metadata.version = request.version
            case "MountPutFile":
                reply.exists = True
            case "FunctionPrecreate":
                reply.handle_metadata.function_name = request.function_name
            case "FunctionCreate":
                self._function(request, reply)
            case "AppPublish":
                reply.url = "https://modal.example/apps/x"
        return reply

    def _function(self, request: Any, reply: Any) -> None:
        reply.handle_metadata.function_name = request.function.function_name or request.function_data.function_name
        reply.function_id = request.existing_function_id or reply.function_id
        if request.HasField("function_data"):
            reply.function_data.CopyFrom(request.function_data)
        if not reply.function_data.ranked_functions:
            ranked = reply.function_data.ranked_functions.add()
            ranked.function.CopyFrom(request.function)


def _message(message: Any) -> dict[str, Any]:
    """Set fields of a protobuf message."""
    return {field.name: list(value) if field.is_repeated else value for field, value in message.ListFields()}


async def _nothing(_self: object, _stream: object) -> None:
    """Stands for an RPC while the SDK's table of them is read."""


class _Service:
    def __init__(self, handlers: dict[str, grpclib.const.Handler]) -> None:
        self._handlers = handlers

    def __mapping__(self) -> dict[str, grpclib.const.Handler]:
        return self._handlers
