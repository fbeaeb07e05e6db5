"""The checked program: typed stages, and one graph of typed nodes for each public pipeline.

Made by `check` only, so everything in it is proved: names resolve, types agree, there is no cycle. Passes take a
`Graph` and give a `Graph`; `verify` says what must hold between them. Sub-pipelines are inlined; node ids are the
full ids of the language (`embed.encoder`). Dims of a stage's own signature use plain symbols (`L`); dims of values in
a graph use symbols with an origin (`L of embed.tokenize, line 19`).
"""

from __future__ import annotations

from .control import Arm, Branch, Control, Map, Region, Route, RouteArm, ShadowArm, Try
from .graph import AnyNode, Graph, captures, operands, references, regions, results, walk
from .nodes import (
    Apply,
    Binding,
    Call,
    Collect,
    Compute,
    Constant,
    Context,
    Expression,
    Given,
    Input,
    Node,
    Operand,
    Output,
    Ref,
    StreamOf,
)
from .rewrite import with_leaves, with_operands, with_regions
from .schedule import ParamValue, Program, Schedule, Settings, SettingValue
from .stages import (
    Bound,
    Contract,
    Effects,
    Port,
    RaggedRule,
    SequenceRule,
    Signature,
    Stage,
    StateRule,
    TensorName,
)

__all__ = [
    "AnyNode",
    "Apply",
    "Arm",
    "Binding",
    "Bound",
    "Branch",
    "Call",
    "Collect",
    "Compute",
    "Constant",
    "Context",
    "Contract",
    "Control",
    "Effects",
    "Expression",
    "Given",
    "Graph",
    "Input",
    "Map",
    "Node",
    "Operand",
    "Output",
    "ParamValue",
    "Port",
    "Program",
    "RaggedRule",
    "Ref",
    "Region",
    "Route",
    "RouteArm",
    "Schedule",
    "SequenceRule",
    "SettingValue",
    "Settings",
    "ShadowArm",
    "Signature",
    "Stage",
    "StateRule",
    "StreamOf",
    "TensorName",
    "Try",
    "captures",
    "operands",
    "references",
    "regions",
    "results",
    "walk",
    "with_leaves",
    "with_operands",
    "with_regions",
]
