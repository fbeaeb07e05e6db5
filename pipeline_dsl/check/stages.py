"""A stage as declared -> `ir.Stage`: signature (its own or `like` another's), backend, contract."""

from __future__ import annotations

from dataclasses import replace

from pipeline_dsl import ir, syntax
from pipeline_dsl.diagnostics import Sink
from pipeline_dsl.errors.names import WrongKind
from pipeline_dsl.errors.settings import BadBackend
from pipeline_dsl.errors.signatures import NoSignature
from pipeline_dsl.literals import quoted

from .backends import Using, using_of
from .contracts import contract_of
from .locked import Unlocked, compare, unlocked
from .lookup import kind_of, member
from .scope import ErrorBinding, Scope, StageBinding
from .signatures import signature_of, sizes_of
from .sizes import bounds_of


def stage_of(decl: syntax.Stage, scope: Scope, sink: Sink) -> ir.Stage | None:
    """The checked stage; None if its signature is wrong. A stage it is `like` must have been made before.

    A stage with mistakes elsewhere is still good for checking its calls: they are reported, and no program is made."""
    locked = scope.lock.stages.get(decl.name.text)
    read = unlocked(locked, decl.name.span) if decl.signature is None and decl.like is None else None
    signature = _signature(decl, scope, sink) if read is None else read.signature
    using = using_of(decl.using, signature or ir.Signature((), ()), scope, sink)
    if signature is None:
        return None
    contract = contract_of(decl, signature, using, scope, sink)
    if read is not None:
        contract = _named(contract, read)
    _versioned_path(decl, using, contract, sink)
    if using.spec.name == "python":
        _no_context_port(signature, sink)
    stage = ir.Stage(
        scope.qualify(decl.name.text),
        signature,
        using.spec.name,
        using.arguments,
        contract,
        scope.folder,
        decl.doc,
        decl.span,
    )
    compare(stage, locked, sink)
    return stage


def _named(contract: ir.Contract, read: Unlocked) -> ir.Contract:
    """Ports of the lock file stand for the tensors they are named after; what the stage says itself goes first."""
    return replace(
        contract,
        tensors_in={**read.tensors_in, **contract.tensors_in},
        tensors_out={**read.tensors_out, **contract.tensors_out},
    )


def _signature(decl: syntax.Stage, scope: Scope, sink: Sink) -> ir.Signature | None:
    if decl.signature is not None:
        return signature_of(decl.signature, decl.where, scope, sink, stage=True)
    if decl.like is None:
        sink.add(NoSignature(decl.name.span, decl.name.text).diagnostic())
        return None
    found = member(decl.like.parts, scope, sink, "stage")
    if not isinstance(found, StageBinding):
        if found is not None and not isinstance(found, ErrorBinding):
            sink.add(WrongKind(decl.like.span, str(decl.like), kind_of(found), "a stage").diagnostic())
        return None
    other = found.stage.signature
    known = sizes_of((*other.inputs, *other.outputs))
    return replace(other, bounds=(*other.bounds, *bounds_of(decl.where, known, scope, sink)))


def _versioned_path(decl: syntax.Stage, using: Using, contract: ir.Contract, sink: Sink) -> None:
    """`{version}` needs a list to take it from, and several versions need a path that tells them apart."""
    path = using.arguments.get("artifact")
    if using.spec.artifact != "path" or path is None:
        return
    span = decl.using.args[0].span
    if "{version}" in path and not contract.versions:
        text = "the path has `{version}`, and the stage lists no versions"
        sink.add(BadBackend(span, text, help="add `versions = [1]`").diagnostic())
    if "{version}" not in path and len(contract.versions) > 1:
        text = f"{len(contract.versions)} versions share the file {quoted(path)}"
        sink.add(BadBackend(span, text, help='put `{version}` in the path: `"m/{version}.onnx"`').diagnostic())


def _no_context_port(signature: ir.Signature, sink: Sink) -> None:
    for port in signature.inputs:
        if port.name == "ctx" and port.span is not None:
            text = "a python stage gets its context as `ctx`: no port may have this name"
            sink.add(BadBackend(port.span, text, help="rename the port").diagnostic())
