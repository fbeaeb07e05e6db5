"""Stage plans and batches written by hand: `stage("null", "x: f32[*, 4]", "y: f32[*, 4]")`."""

import re

import numpy as np

from backends.base import Batch, InstanceConfig
from pipeline_dsl.dtypes import DTYPES
from pipeline_dsl.ir import Bound, Contract
from pipeline_dsl.plan import PortPlan, StagePlan
from pipeline_dsl.sizes import Size
from pipeline_dsl.types import Ragged, Rest, Rows, Sized, TensorType, Unknown


def size(text):
    """A number, a name, or `2*L`."""
    total = Size.of(1)
    for factor in text.split("*"):
        total = total * Size.of(int(factor) if factor.isdigit() else factor)
    return total


def dim(text):
    if text in ("*", "?", "..."):
        return {"*": Rows(), "?": Unknown(), "...": Rest()}[text]
    return Ragged(size(text[1:])) if text.startswith("~") else Sized(size(text))


def tensor(text):
    match = re.fullmatch(r"(stream )?(\w+)(?:\[(.*)\])?(\?)?", text)
    dims = [d.strip() for d in (match[3] or "").split(",") if d.strip()]
    return TensorType(DTYPES[match[2]], tuple(map(dim, dims)), bool(match[4]), bool(match[1]))


def port(text, **options):
    name, _, declared = text.partition(": ")
    kind = tensor(declared)
    form = "dense" if kind.dtype.numeric else "object"
    form = "scalar" if not kind.dims else "ragged" if kind.is_ragged else form
    return PortPlan(name, kind, **{"form": form, **options})


def ports(text):
    return tuple(map(port, re.split(r", (?=\w+: )", text))) if text else ()


def bound(text):
    left, op, right = text.split()
    return Bound(size(left), op, size(right))


def stage(backend, inputs, outputs, *, where=(), name="s", folder=".", contract=None, version=None, **arguments):
    inputs = ports(inputs) if isinstance(inputs, str) else inputs
    outputs = ports(outputs) if isinstance(outputs, str) else outputs
    return StagePlan(
        index=0,
        name=name,
        version=version,
        backend=backend,
        arguments=arguments,
        contract=contract or Contract(),
        folder=str(folder),
        inputs=inputs,
        outputs=outputs,
        bounds=tuple(map(bound, where)),
        has_rows=any(p.type.has_rows for p in (*inputs, *outputs)),
    )


def batch(*inputs, rows=None, **options):
    """Rows are counted on the first input that has a length."""
    for value in inputs:
        if isinstance(value, np.ndarray):
            value.flags.writeable = False
    if rows is None:
        rows = next((len(v) for v in inputs if hasattr(v, "__len__") and not isinstance(v, str | bytes | dict)), 1)
    return Batch(inputs, rows, sizes=(rows,), **options)


class Copies(list):
    """Collects what an instance reports to `on_copy`."""

    def __call__(self, size, reason):
        self.append((size, reason))


def config(**options):
    return InstanceConfig(**options)
