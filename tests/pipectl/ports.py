"""Ports and pipelines by hand, from the language's own spelling of types."""

from pipeline_dsl.dtypes import DTYPES
from pipeline_dsl.ir import Constant
from pipeline_dsl.plan import InputPlan, OutputPlan, PipelinePlan
from pipeline_dsl.sizes import Size
from pipeline_dsl.types import Dim, Ragged, Rest, Rows, Sized, TensorType, Unknown


def dim(text: str) -> Dim:
    if text in ("*", "?", "..."):
        return {"*": Rows(), "?": Unknown(), "...": Rest()}[text]
    if text.startswith("~"):
        return Ragged(Size.of(text[1:]))
    return Sized(Size.of(int(text) if text.isdigit() else text))


def type_of(text: str) -> TensorType:
    optional = text.endswith("?")
    name, bracket, dims = text.removesuffix("?").partition("[")
    parts = tuple(dim(part.strip()) for part in dims.removesuffix("]").split(",")) if bracket else ()
    return TensorType(DTYPES[name], parts, optional)


def port(name: str, type_: str, **more: object) -> InputPlan:
    return InputPlan(name, type_of(type_), 0, **more)


def output(name: str, type_: str) -> OutputPlan:
    return OutputPlan(name, type_of(type_), Constant(None, type_of(type_)))


def pipeline(*inputs: InputPlan, outputs: tuple[OutputPlan, ...] = ()) -> PipelinePlan:
    return PipelinePlan("p", inputs, outputs, (), len(inputs))
