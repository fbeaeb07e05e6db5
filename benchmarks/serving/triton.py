"""A tritonserver beside ours, where `scripts/peers.sh` has put one: the same steps as an ensemble of python models.

    python -m benchmarks.serving.triton SERVE DELAY_US

Says where it listens, as the other servers do, and ends with this process.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import grpc

STEPS = ("one", "two", "three", "four")

MODEL = """
import numpy as np
import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        arrays = [pb.get_input_tensor_by_name(r, "x").as_numpy() for r in requests]
        made = np.concatenate(arrays) + np.float32(1)
        ends = np.cumsum([len(a) for a in arrays])[:-1]
        return [pb.InferenceResponse([pb.Tensor("y", part)]) for part in np.split(made, ends)]
"""
PORTS = """
max_batch_size: 32
input [ { name: "x" data_type: TYPE_FP32 dims: [ 16 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 16 ] } ]
"""


def repository(folder: Path, delay_us: int) -> None:
    """Four models and the ensemble `w2`; each step joins what waits, for `delay_us` at most."""
    for name in STEPS:
        (folder / name / "1").mkdir(parents=True)
        (folder / name / "1" / "model.py").write_text(MODEL)
        batching = f"dynamic_batching {{ max_queue_delay_microseconds: {delay_us} }}"
        instances = "instance_group [ { count: 1 kind: KIND_CPU } ]"
        (folder / name / "config.pbtxt").write_text(f'backend: "python"\n{PORTS}\n{batching}\n{instances}\n')
    (folder / "w2" / "1").mkdir(parents=True)
    tensors = ("x", *(f"after_{name}" for name in STEPS[:-1]), "y")
    steps = ",\n".join(
        f'{{ model_name: "{name}" model_version: -1 input_map {{ key: "x" value: "{tensors[i]}" }}'
        f' output_map {{ key: "y" value: "{tensors[i + 1]}" }} }}'
        for i, name in enumerate(STEPS)
    )
    config = f'platform: "ensemble"\n{PORTS}\nensemble_scheduling {{ step [ {steps} ] }}\n'
    (folder / "w2" / "config.pbtxt").write_text(config)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def main(serve: str, delay_us: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        repository(Path(folder), delay_us)
        port = free_port()
        options = ("--allow-http=false", "--allow-metrics=false", "--log-error=true", "--log-info=false")
        command = [serve, f"--model-repository={folder}", f"--grpc-port={port}", *options]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        signal.signal(signal.SIGTERM, lambda *_: process.terminate())
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            ready = channel.unary_unary("/inference.GRPCInferenceService/ServerReady")
            while process.poll() is None:
                try:
                    if ready(b"", timeout=1):
                        break
                except grpc.RpcError:
                    time.sleep(0.1)
        print(f"gRPC at 127.0.0.1:{port}", flush=True)
        return process.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
