"""The HTTP surface as an OpenAPI 3.0 document: the table of routes, and `infer` and `generate` of every pipeline with
its own types."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from pipeline_dsl.dtypes import DType
from pipeline_dsl.plan import InputPlan, OutputPlan
from pipeline_dsl.types import TensorType
from serving.deployment import Served

from .routes import METRICS_ENTRY, TABLE, Entry

_ERROR = {"$ref": "#/components/responses/Error"}
_JSON = "application/json"


def document(title: str, version: str, served: Iterable[Served], *, metrics: bool) -> dict[str, Any]:
    """The whole document."""
    paths: dict[str, dict[str, Any]] = {}
    for entry in (*TABLE, METRICS_ENTRY) if metrics else TABLE:
        paths.setdefault(entry.path, {})[entry.method.lower()] = _operation(entry)
    for pipeline in sorted(served, key=lambda s: (s.name, s.version)):
        paths |= _pipeline(pipeline)
    return {
        "openapi": "3.0.3",
        "info": {"title": title, "version": version or "0"},
        "paths": paths,
        "components": {
            "schemas": {"Tensor": _TENSOR, "InferRequest": _INFER_REQUEST, "InferResponse": _INFER_RESPONSE},
            "responses": {
                "Error": {
                    "description": "What went wrong, and where.",
                    "content": {_JSON: {"schema": _object({"error": {"type": "string"}}, ["error"])}},
                }
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(entry: Entry) -> dict[str, Any]:
    names = re.findall(r"\{(\w+)\}", entry.path)
    made: dict[str, Any] = {
        "summary": entry.summary,
        "tags": ["server"],
        "parameters": [{"name": n, "in": "path", "required": True, "schema": {"type": "string"}} for n in names],
        "responses": {"200": {"description": "Done."}, "default": _ERROR},
    }
    if entry.method == "POST":
        made["requestBody"] = {"content": {_JSON: {"schema": {"type": "object"}}}}
    return made


# ---- pipelines


def _pipeline(served: Served) -> dict[str, Any]:
    base = f"/v2/models/{served.name}" + (f"/versions/{served.version}" if served.version != 1 else "")
    plan = served.plan
    body = _object(
        {port.name: _port(port) for port in plan.inputs},
        [p.name for p in plan.inputs if not p.has_default and not p.type.optional],
    )
    answer = _object({port.name: _port(port) for port in plan.outputs}, [])
    summary = plan.doc.strip().partition("\n")[0] or f"Answers with {', '.join(p.name for p in plan.outputs)}."
    infer = _post(served.name, summary, {"$ref": "#/components/schemas/InferRequest"}, _JSON, _INFER_ANSWER)
    events = _post(served.name, f"{summary} As server-sent events.", body, "text/event-stream", {"type": "string"})
    paths = {f"{base}/infer": infer, f"{base}/generate_stream": events}
    if not served.codec.streams:
        paths[f"{base}/generate"] = _post(served.name, f"{summary} Plain objects in and out.", body, _JSON, answer)
    return paths


_INFER_ANSWER = {"$ref": "#/components/schemas/InferResponse"}


def _post(tag: str, summary: str, body: Any, kind: str, answer: Any) -> dict[str, Any]:
    return {
        "post": {
            "summary": summary,
            "tags": [tag],
            "requestBody": {"required": True, "content": {_JSON: {"schema": body}}},
            "responses": {
                "200": {"description": "Answered.", "content": {kind: {"schema": answer}}},
                "default": _ERROR,
            },
        }
    }


def _port(port: InputPlan | OutputPlan) -> dict[str, Any]:
    schema = _schema(port.type)
    schema["description"] = f"`{port.type}`" + (f" {port.doc}" if port.doc else "")
    if isinstance(port, InputPlan) and port.has_default:
        schema["default"] = port.default
    return schema


def _schema(declared: TensorType) -> dict[str, Any]:
    item = _item(declared.dtype)
    for _ in declared.dims:
        item = {"type": "array", "items": item}
    return item


def _item(dtype: DType) -> dict[str, Any]:
    if dtype.name == "json":
        return {}
    if dtype.kind in ("int", "uint"):
        return {"type": "integer"}
    return {"type": {"bool": "boolean"}.get(dtype.name, "number" if dtype.numeric else "string")}


def _object(properties: dict[str, Any], required: Sequence[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


_PARAMETERS = {
    "type": "object",
    "additionalProperties": {"oneOf": [{"type": "boolean"}, {"type": "number"}, {"type": "string"}]},
}
_TENSOR = _object(
    {
        "name": {"type": "string"},
        "datatype": {"type": "string", "example": "FP32"},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "parameters": _PARAMETERS,
        "data": {"type": "array", "items": {}},
    },
    ["name", "datatype", "shape"],
)
_TENSORS = {"type": "array", "items": {"$ref": "#/components/schemas/Tensor"}}
_INFER_REQUEST = _object(
    {
        "id": {"type": "string"},
        "parameters": _PARAMETERS,
        "inputs": _TENSORS,
        "outputs": {
            "type": "array",
            "items": _object({"name": {"type": "string"}, "parameters": _PARAMETERS}, ["name"]),
        },
    },
    ["inputs"],
)
_INFER_RESPONSE = _object(
    {
        "model_name": {"type": "string"},
        "model_version": {"type": "string"},
        "id": {"type": "string"},
        "parameters": _PARAMETERS,
        "outputs": _TENSORS,
    },
    ["model_name", "outputs"],
)
