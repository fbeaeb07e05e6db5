"""Tensors of the protocol to values of the engine and back, one `PipelineCodec` for each pipeline.

TensorIn --inputs--> value by port name        value by port name --outputs--> TensorOut
"""

from .codec import PipelineCodec as PipelineCodec
from .parameters import Options as Options
from .parameters import options as options
