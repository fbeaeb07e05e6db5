"""A small client of the protocol v2 over gRPC, for the command and for tests; any server of it will do.

    values by input name --(metadata of the model)--> ModelInferRequest --> values by output name

Refusals that say when to come back are tried again by gRPC itself, as long as the deadline allows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import grpc
import numpy as np

from serving.convert.datatypes import raw_bytes
from serving.convert.items import Packing, pack, unpack
from serving.protocol import SERVICE, message

from .channel import Target
from .errors import ClientError, failure
from .values import NUMPY, Tensor, taken

_RETRIES = {
    "methodConfig": [
        {
            "name": [{"service": SERVICE}],
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.1s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["RESOURCE_EXHAUSTED", "UNAVAILABLE"],
            },
        }
    ]
}


@dataclass(frozen=True, slots=True)
class Model:
    """A model of a server."""

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


class Client:
    """One connection. ClientError for whatever a call comes to but an answer."""

    def __init__(
        self, address: str, *, token: str = "", root: bytes | None = None, secure: bool = False, retries: bool = True
    ) -> None:
        """`root`: certificates to trust instead of the system's; only with `secure`."""
        self._target = Target(address, secure, root, token)
        self._channel = self._target.channel(("grpc.service_config", json.dumps(_RETRIES if retries else {})))
        self._metadata = self._target.metadata()

    def model(self, name: str, version: str = "", timeout: float | None = None) -> Model:
        """What the server says of a model."""
        found = self._call("ModelMetadata", timeout, name=name, version=version)
        return Model(name, *(tuple(map(_described, tensors)) for tensors in (found.inputs, found.outputs)))

    def infer(
        self,
        model: Model,
        values: Mapping[str, Any],
        *,
        version: str = "",
        outputs: Sequence[str] = (),
        id: str = "",
        timeout: float | None = None,
    ) -> dict[str, Any]:
        """Outputs by name: arrays, for BYTES object arrays of `bytes`."""
        known = {t.name: t for t in model.inputs}
        unknown = [name for name in values if name not in known]
        if unknown:
            raise ClientError(f"`{model.name}` has no input `{unknown[0]}`, but {', '.join(known)}")
        tensors, raw = [], []
        for name, value in values.items():
            array = _array(known[name], value)
            tensors.append({"name": name, "datatype": known[name].datatype, "shape": array.shape})
            raw.append(pack(array.ravel().tolist()) if array.dtype == object else bytes(raw_bytes(array)))
        response = self._call(
            "ModelInfer",
            timeout,
            model_name=model.name,
            model_version=version,
            id=id,
            inputs=tensors,
            outputs=[{"name": name} for name in outputs],
            raw_input_contents=raw,
        )
        return {t.name: _value(t, data) for t, data in zip(response.outputs, response.raw_output_contents)}

    def _call(self, method: str, seconds: float | None, **fields: Any) -> Any:
        request = message(f"inference.{method}Request")(**fields)
        response: Any = message(f"inference.{method}Response")
        call = self._channel.unary_unary(
            f"/{SERVICE}/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=response.FromString,
        )
        try:
            return call(request, timeout=seconds, metadata=self._metadata)
        except grpc.RpcError as error:
            raise failure(error) from None

    def close(self) -> None:
        self._channel.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _described(tensor: Any) -> Tensor:
    return Tensor(tensor.name, tensor.datatype, tuple(tensor.shape))


def _array(tensor: Tensor, value: Any) -> np.ndarray[Any, Any]:
    """A value as the array to send: a single one as [1], one row as the only row."""
    array = taken(tensor, value)
    missing = len(tensor.shape) - array.ndim
    if missing == 1 and tensor.shape[0] in (-1, 1):
        array = array[np.newaxis]
    return np.ascontiguousarray(array)


def _value(tensor: Any, data: bytes) -> np.ndarray[Any, Any]:
    shape = tuple(tensor.shape)
    try:
        if tensor.datatype == "BYTES":
            items = unpack(data, int(np.prod(shape)))
            return np.fromiter(items, object, len(items)).reshape(shape)
        return np.frombuffer(data, NUMPY[tensor.datatype]).reshape(shape)
    except (Packing, ValueError, KeyError) as error:
        raise ClientError(f"output `{tensor.name}` can not be read: {error}", "INTERNAL") from None
