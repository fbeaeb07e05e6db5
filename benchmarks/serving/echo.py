"""The floors of the wire: servers that give back what they get, in the libraries that ours is made of.

    python -m benchmarks.serving.echo grpc | grpc-v2 | asgi

`grpc` does not look at the message; `grpc-v2` parses a ModelInferRequest and writes a ModelInferResponse with
protobuf's own code, as a server by the book would; `asgi` is a bare callable on uvicorn.
"""

from __future__ import annotations

import sys
from typing import Any

import grpc
import uvicorn
import uvloop

from serving.protocol import message

Request: Any = message("inference.ModelInferRequest")
Response: Any = message("inference.ModelInferResponse")


async def echo(data: bytes, context: Any) -> bytes:
    return data


async def v2(request: Any, context: Any) -> Any:
    response = Response(model_name=request.model_name, model_version="1", id=request.id)
    for tensor, raw in zip(request.inputs, request.raw_input_contents):
        response.outputs.add(name="y", datatype=tensor.datatype, shape=tensor.shape)
        response.raw_output_contents.append(raw)
    return response


async def over_grpc(kind: str) -> None:
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)])
    if kind == "grpc":
        method = grpc.unary_unary_rpc_method_handler(echo)
    else:
        method = grpc.unary_unary_rpc_method_handler(v2, Request.FromString, Response.SerializeToString)
    handler = grpc.method_handlers_generic_handler("inference.GRPCInferenceService", {"ModelInfer": method})
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"gRPC at 127.0.0.1:{port}", flush=True)
    await server.wait_for_termination()


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    parts, more = [], True
    while more:
        event = await receive()
        parts.append(event["body"])
        more = event.get("more_body", False)
    body = b"".join(parts)
    headers = [(b"content-type", b"application/octet-stream"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def over_http() -> None:
    config = uvicorn.Config(asgi, port=0, http="httptools", lifespan="off", access_log=False, log_level="error")
    listener = config.bind_socket()
    print(f"HTTP at 127.0.0.1:{listener.getsockname()[1]}", flush=True)
    await uvicorn.Server(config).serve([listener])


if __name__ == "__main__":
    uvloop.run(over_http() if sys.argv[1] == "asgi" else over_grpc(sys.argv[1]))
