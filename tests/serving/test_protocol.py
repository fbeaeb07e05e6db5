"""The descriptor sets are those of the `.proto` files, in a pool of their own, and say what tritonclient says."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from google.protobuf import text_format
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from serving.protocol import message, pool

ROOT = Path(__file__).parents[2]


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("protocol", ROOT / "scripts" / "protocol.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("proto", sorted((ROOT / "serving" / "protocol").glob("*.proto")), ids=lambda p: p.name)
def test_descriptors_are_those_of_the_proto_files(proto: Path) -> None:
    assert script().compiled(proto) == proto.with_suffix(".binpb").read_bytes(), "run `python scripts/protocol.py`"


def test_a_config_survives_text_and_wire() -> None:
    config = message("inference.ModelConfig")(name="m", max_batch_size=8)
    config.input.add(name="x", data_type=11, dims=[-1, 3])
    config.parameters["k"].string_value = "v"
    text = text_format.MessageToString(config)
    assert text_format.Parse(text, message("inference.ModelConfig")()) == config
    assert message("inference.ModelConfig")().FromString(config.SerializeToString()) == config


def contract(file: FileDescriptorProto) -> set[str]:
    """Everything that is seen on the wire, a line each."""
    found: set[str] = set()

    def add(messages: object, path: str) -> None:
        for one in messages:  # type: ignore[attr-defined]  # repeated fields have no common type
            place = f"{path}.{one.name}"
            found.add(f"{place} map={one.options.map_entry}")
            for f in one.field:
                oneof = one.oneof_decl[f.oneof_index].name if f.HasField("oneof_index") else ""
                found.add(f"{place}.{f.name} = {f.number} {f.type} {f.type_name} {f.label} {oneof}")
            add(one.nested_type, place)

    add(file.message_type, file.package)
    for service in file.service:
        for m in service.method:
            streams = (m.client_streaming, m.server_streaming)
            found.add(f"{service.name}/{m.name} {m.input_type} {m.output_type} {streams}")
    return found


def test_the_service_is_that_of_the_client_library() -> None:
    theirs, ours = FileDescriptorProto(), FileDescriptorProto()
    from tritonclient.grpc import service_pb2

    service_pb2.DESCRIPTOR.CopyToProto(theirs)
    pool().FindFileByName("grpc_service.proto").CopyToProto(ours)
    assert contract(ours) == contract(theirs)


OURS = "from serving.protocol import message; message('inference.ModelInferRequest')(model_name='m')"
THEIRS = "import tritonclient.grpc; from tritonclient.grpc import service_pb2; service_pb2.ModelInferRequest()"


@pytest.mark.parametrize("order", [(OURS, THEIRS), (THEIRS, OURS)], ids=["ours first", "theirs first"])
def test_a_process_may_hold_both(order: tuple[str, str]) -> None:
    done = subprocess.run([sys.executable, "-c", "\n".join(order)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_nothing_is_added_to_the_default_pool() -> None:
    check = (
        f"{OURS}\nfrom google.protobuf import descriptor_pool\n"
        "try: descriptor_pool.Default().FindMessageTypeByName('inference.ModelConfig')\n"
        "except KeyError: raise SystemExit(0)\nraise SystemExit(1)"
    )
    assert subprocess.run([sys.executable, "-c", check], cwd=ROOT).returncode == 0
