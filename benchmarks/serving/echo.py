"""The floor over gRPC: a server that gives back what it gets, in the same library on the same event loop.

    python -m benchmarks.serving.echo bytes | v2

`bytes` does not look at the message; `v2` parses a ModelInferRequest and writes a ModelInferResponse with protobuf's
own code, as a server by the book would.
"""

from __future__ import annotations

import sys
from typing import Any

import grpc
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


async def main(kind: str) -> None:
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
    if kind == "bytes":
        method = grpc.unary_unary_rpc_method_handler(echo)
    else:
        method = grpc.unary_unary_rpc_method_handler(v2, Request.FromString, Response.SerializeToString)
    handler = grpc.method_handlers_generic_handler("inference.GRPCInferenceService", {"ModelInfer": method})
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"gRPC at 127.0.0.1:{port}", flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
