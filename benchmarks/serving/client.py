"""The one client of all servers: a closed loop of calls with prepared bytes.

    python -m benchmarks.serving.client HOST:PORT CONCURRENCY SECONDS < request bytes

Prints one JSON object: calls, seconds, and latencies at some quantiles in milliseconds. A call that fails ends it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import grpc
import uvloop

PATH = "/inference.GRPCInferenceService/ModelInfer"
WARM = 0.25
"""Share of the time before anything is counted."""


async def main(address: str, concurrency: int, seconds: float, request: bytes) -> None:
    start = time.perf_counter()
    end = start + seconds * (1 + WARM)
    took: list[float] = []

    async def loop(call: grpc.aio.UnaryUnaryMultiCallable) -> None:
        while (begin := time.perf_counter()) < end:
            await call(request)
            took.append(time.perf_counter() - begin)

    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        call = channel.unary_unary(PATH)
        await asyncio.gather(*[loop(call) for _ in range(concurrency)])
    took.sort()
    quantiles = {f"p{q}_ms": took[min(len(took) - 1, len(took) * q // 100)] * 1e3 for q in (50, 99)}
    print(json.dumps({"calls": len(took), "seconds": time.perf_counter() - start, **quantiles}))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.stdin.buffer.read()))
