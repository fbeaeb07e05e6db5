"""The descriptor sets are those of the `.proto` files, in a pool of their own."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from google.protobuf import descriptor_pool, text_format

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


def test_nothing_is_added_to_the_default_pool() -> None:
    pool()
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindMessageTypeByName("inference.ModelConfig")
