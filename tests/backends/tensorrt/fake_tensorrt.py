"""TensorRT as its documentation describes it, strict and without a device: a module that the backend can be given.

Engines run the ONNX graph they were built from with `onnx.reference`, when the stream comes to it. As the library does,
methods answer False or None where they are used wrongly, and say why in the log. What would be undefined behaviour
there is a `Fault` here: an address that is nobody's, an allocator that is gone, two threads or two runs in one context.

`refuse(name)` makes the method of that name fail once it is called."""

import ctypes
import enum
import json
import threading
import weakref
from functools import wraps

import numpy as np
import onnx
from onnx import helper, numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator

from tests.backends.tensorrt.device import BLOCKS, BY_ADDRESS, Fault, current_queue

__version__ = "10.9.0"
CAPABILITY = "9.0"
MAGIC = "fake plan"

REFUSED = {}
"""Method -> what it answers."""
REFUSED_SHAPES = {}
"""Tensor -> the shape that it does not take."""
CALLS = []
"""Names of the calls made, in order."""


def refuse(name, answer=False):
    REFUSED[name] = answer


def reset():
    REFUSED.clear()
    REFUSED_SHAPES.clear()
    CALLS.clear()


def method(function):
    """A call that is counted, and that a test can make fail."""
    name = function.__name__

    @wraps(function)
    def call(self, *args, **named):
        CALLS.append(name)
        if name in REFUSED:
            self.say(f"{name} was told to fail")
            answer = REFUSED[name]
            if isinstance(answer, Exception):
                raise answer
            return answer
        return function(self, *args, **named)

    return call


class ILogger:
    class Severity(enum.IntEnum):
        INTERNAL_ERROR = 0
        ERROR = 1
        WARNING = 2
        INFO = 3
        VERBOSE = 4


class DataType(enum.Enum):
    FLOAT, HALF, INT8, INT32, BOOL, UINT8, FP8, BF16, INT64 = range(9)


class TensorIOMode(enum.Enum):
    NONE, INPUT, OUTPUT = range(3)


class TensorLocation(enum.Enum):
    DEVICE, HOST = range(2)


class TensorFormat(enum.Enum):
    LINEAR, CHW32 = range(2)


class MemoryPoolType(enum.Enum):
    WORKSPACE = 0


class NetworkDefinitionCreationFlag(enum.IntEnum):
    STRONGLY_TYPED = 1  # its number in version 10; in 11 it is 0


class IOutputAllocator:
    def __init__(self):
        self.ready = True


TYPES = {
    onnx.TensorProto.FLOAT: DataType.FLOAT,
    onnx.TensorProto.FLOAT16: DataType.HALF,
    onnx.TensorProto.BFLOAT16: DataType.BF16,
    onnx.TensorProto.INT8: DataType.INT8,
    onnx.TensorProto.UINT8: DataType.UINT8,
    onnx.TensorProto.INT32: DataType.INT32,
    onnx.TensorProto.INT64: DataType.INT64,
    onnx.TensorProto.BOOL: DataType.BOOL,
}
SIZES = {"Reshape": 1, "Expand": 1, "ConstantOfShape": 0}
"""Operators -> the input that holds sizes."""


class Logged:
    """What has a logger to complain to."""

    logger = None

    def say(self, text):
        said = f"[fake.cpp::check::1] {text}"
        self.logger.log(ILogger.Severity.ERROR, said)


class Tensor:
    def __init__(self, proto, model):
        kind = proto.type.tensor_type
        self.name, self.elem = proto.name, kind.elem_type
        self.dtype = TYPES.get(kind.elem_type, DataType.FP8)
        self.numpy = helper.tensor_dtype_to_np_dtype(kind.elem_type)
        self.shape = tuple(d.dim_value if d.HasField("dim_value") else -1 for d in kind.shape.dim)
        uses = [(n.op_type, i) for n in model.graph.node for i, name in enumerate(n.input) if name == proto.name]
        self.is_shape_tensor = any(SIZES.get(op) == place for op, place in uses)


# ---- building


class Parser(Logged):
    known = ReferenceEvaluator

    def __init__(self, network, logger):
        self.network, self.logger, self.errors = network, logger, []

    @method
    def parse(self, model, path=None):
        try:
            self.network.model = onnx.load_from_string(bytes(model))
        except Exception as error:
            self.say(str(error))
            return False
        wrong = [(i, n) for i, n in enumerate(self.network.model.graph.node) if n.op_type == "NoSuchOp"]
        self.errors = [ParserError(i, n) for i, n in wrong]
        if not self.network.model.graph.node:
            self.network.model = onnx.ModelProto()  # anything parses: the network is empty then
        return not wrong

    @property
    def num_errors(self):
        return len(self.errors)

    def get_error(self, index):
        return self.errors[index]


OnnxParser = Parser


class ParserError:
    def __init__(self, index, node):
        self.index, self.at = index, node

    def node(self):
        return self.index

    def node_name(self):
        return self.at.name

    def node_operator(self):
        return self.at.op_type

    def desc(self):
        return "there is no such\noperator"


class Network:
    model = None

    @property
    def num_inputs(self):
        return len(self.model.graph.input)

    @property
    def num_outputs(self):
        return len(self.model.graph.output)

    def get_input(self, index):
        return Tensor(self.model.graph.input[index], self.model)

    def get_output(self, index):
        return Tensor(self.model.graph.output[index], self.model)


class Profile:
    def __init__(self):
        self.shapes = {}

    def set_shape(self, input, min, opt, max):  # noqa: A002  # their names
        CALLS.append("set_shape")
        if "set_shape" not in REFUSED and all(a <= b <= c for a, b, c in zip(min, opt, max)):
            self.shapes[input] = [tuple(min), tuple(opt), tuple(max)]

    def get_shape(self, input):  # noqa: A002  # their name
        return self.shapes.get(input, [])


class Config:
    builder_optimization_level = 3

    def __init__(self):
        self.profiles, self.limits = [], {}

    def set_memory_pool_limit(self, pool, pool_size):
        self.limits[pool.name] = pool_size

    def add_optimization_profile(self, profile):
        if "add_optimization_profile" in REFUSED:
            return -1
        self.profiles.append(profile)
        return len(self.profiles) - 1


class Builder(Logged):
    last = None
    """The configuration of the last build."""

    def __init__(self, logger):
        if "Builder" in REFUSED:
            raise TypeError("pybind11::init(): factory function returned nullptr")
        self.logger = logger

    def create_network(self, flags=0):
        assert flags == 1 << 1, "strongly typed, and nothing else"
        return Network()

    def create_builder_config(self):
        return Config()

    def create_optimization_profile(self):
        return Profile()

    @method
    def build_serialized_network(self, network, config):
        if current_queue() is None:
            raise Fault("built while no device is current")
        inputs = [network.get_input(i) for i in range(network.num_inputs)]
        for tensor in inputs:
            if -1 in tensor.shape and not all(tensor.name in p.shapes for p in config.profiles):
                self.say(f"no profile has a shape for {tensor.name}")
                return None
        if any(-1 in t.shape for t in inputs) and not config.profiles:
            self.say("Network has dynamic inputs, but no optimization profile has been defined.")
            return None
        Builder.last = config
        return plan_of(network.model, [p.shapes for p in config.profiles])


def plan_of(model, profiles=(), version=__version__, capability=CAPABILITY, **more):
    """A plan as bytes, as `trtexec` would have made it."""
    head = {"magic": MAGIC, "version": version, "capability": capability, "profiles": list(profiles), **more}
    return json.dumps(head).encode() + b"\n" + model.SerializeToString()


# ---- running


class Runtime(Logged):
    def __init__(self, logger):
        self.logger = logger

    @method
    def deserialize_cuda_engine(self, serialized_engine):
        if current_queue() is None:
            raise Fault("deserialized while no device is current")
        head, _, model = bytes(serialized_engine).partition(b"\n")
        try:
            found = json.loads(head)
            parsed = onnx.load_from_string(model)
        except Exception:
            self.say("Serialization assertion header.magicTag == kEXPECTED_MAGIC_TAG failed.")
            return None
        for name, wanted in (("magic", MAGIC), ("version", __version__), ("capability", CAPABILITY)):
            if found[name] != wanted:
                self.say(f"the plan's {name} is {found[name]}, {wanted} is needed")
                return None
        return Engine(found, parsed, self)


class Engine(Logged):
    def __init__(self, head, model, runtime):
        self.logger, self.runtime = runtime.logger, runtime
        self.model, self.head = model, head
        self.inputs = {p.name: Tensor(p, model) for p in model.graph.input}
        self.outputs = {p.name: Tensor(p, model) for p in model.graph.output}
        self.tensors = self.inputs | self.outputs
        self.host = {n for n, t in self.inputs.items() if t.is_shape_tensor} | set(head.get("host", ()))
        self.profiles = head["profiles"] or [{}]

    num_io_tensors = property(lambda self: len(self.tensors))
    num_optimization_profiles = property(lambda self: len(self.profiles))

    def get_tensor_name(self, index):
        return list(self.tensors)[index]

    def get_tensor_mode(self, name):
        return TensorIOMode.INPUT if name in self.inputs else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name):
        return self.tensors[name].dtype

    def get_tensor_shape(self, name):
        return self.tensors[name].shape

    def get_tensor_location(self, name):
        return TensorLocation.HOST if name in self.host else TensorLocation.DEVICE

    def get_tensor_format(self, name):
        return TensorFormat.CHW32 if name in self.head.get("vectorized", ()) else TensorFormat.LINEAR

    def get_aliased_input_tensor(self, name):
        return self.head.get("aliases", {}).get(name)

    def get_tensor_profile_shape(self, name, profile_index):
        return self.profiles[profile_index][name]

    @method
    def create_execution_context(self):
        return Context(self)


class Context(Logged):
    def __init__(self, engine):
        self.logger, self.engine = engine.logger, engine
        self.active_optimization_profile = 0
        self.shapes = {n: t.shape for n, t in engine.inputs.items() if -1 not in t.shape}
        self.addresses, self.allocators = {}, {}
        self.inferred = False
        self.turn = threading.Lock()
        self.launched = self.ran = 0
        self.allocated = {}

    @method
    def set_optimization_profile_async(self, profile_index, stream_handle):
        if not 0 <= profile_index < len(self.engine.profiles) or stream_handle not in BY_ADDRESS:
            self.say(f"there is no profile {profile_index}")
            return False
        self.active_optimization_profile = profile_index
        self.shapes = {n: t.shape for n, t in self.engine.inputs.items() if -1 not in t.shape}
        self.addresses.clear()
        self.inferred = False
        return True

    @method
    def set_input_shape(self, name, shape):
        declared = self.engine.inputs[name].shape
        self.inferred = False
        self.shapes.pop(name, None)  # a shape that is refused leaves none
        if REFUSED_SHAPES.get(name) == tuple(shape):
            self.say("set_input_shape was told to fail")
            return False
        if len(shape) != len(declared) or any(d not in (-1, n) for d, n in zip(declared, shape)):
            self.say(f"{name} is {declared}")
            return False
        ranges = self.engine.profiles[self.active_optimization_profile].get(name)
        if ranges and not all(lo <= n <= hi for lo, n, hi in zip(ranges[0], shape, ranges[2])):
            self.say(f"{name} is outside of profile {self.active_optimization_profile}")
            return False
        self.shapes[name] = tuple(shape)
        return True

    @method
    def set_tensor_address(self, name, memory):
        if name not in self.engine.tensors or (name not in self.engine.host and memory % 256):
            self.say(f"{memory:#x} is not aligned")
            return False
        self.addresses[name] = memory
        return True

    @method
    def set_output_allocator(self, name, output_allocator):
        if name not in self.engine.outputs or not output_allocator.ready:
            return False
        self.allocators[name] = weakref.ref(output_allocator)
        return True

    @method
    def infer_shapes(self):
        missing = [n for n in self.engine.inputs if n not in self.shapes]
        missing += [n for n in self.engine.host & self.engine.inputs.keys() if not self.addresses.get(n)]
        if missing:
            return missing
        self.found = self._infer()
        self.inferred = True
        return []

    @method
    def get_tensor_shape(self, name):
        if name in self.engine.inputs:
            return self.shapes.get(name, self.engine.inputs[name].shape)
        return self.found[name] if self.inferred else self.engine.outputs[name].shape

    @method
    def execute_async_v3(self, stream_handle):
        if not self.turn.acquire(blocking=False):
            raise Fault("two threads in one context")
        try:
            return self._execute(stream_handle)
        finally:
            self.turn.release()

    def _execute(self, handle):
        queue = BY_ADDRESS.get(handle)
        if queue is None or current_queue() is None:
            self.say(f"stream {handle:#x} is the default one, or no device is current")
            return False
        if not self.inferred:
            self.say("shapes were not inferred since they were set")
            return False
        outputs, later = dict(self.addresses), {}
        for name in self.engine.tensors:
            if name in self.engine.outputs and -1 in self.found[name]:
                later[name] = self._allocator(name)
            elif not self.addresses.get(name):
                self.say(f"{name} has no address")
                return False
        inputs = {n: (self.addresses[n], self.shapes[n], t) for n, t in self.engine.inputs.items()}
        number, self.launched = self.launched, self.launched + 1
        if later or self.engine.host & self.engine.outputs.keys():  # the library waits for the device itself then
            queue.drain()
            made = self._compute(inputs, number)
            for name, allocator in later.items():
                array = made[name]
                memory = self.addresses.get(name, 0)
                if not memory or self.allocated[name] < array.nbytes:  # memory that is large enough is used again
                    memory = allocator.reallocate_output_async(name, memory, array.nbytes, 256, handle)
                if not memory:
                    self.say(f"{name} got no memory")
                    return False
                self.allocated[name], self.addresses[name], outputs[name] = array.nbytes, memory, memory
                allocator.notify_shape(name, array.shape)
            watched = [(name, weakref.ref(allocator)) for name, allocator in later.items()]
            queue.enqueue(lambda: self._write(made, outputs, watched))
        else:
            queue.enqueue(lambda: self._write(self._compute(inputs, number), outputs))
        return True

    def _allocator(self, name):
        found = self.allocators.get(name)
        if found is None or found() is None:
            raise Fault(f"the allocator of {name} is gone")
        return found()

    def _compute(self, inputs, number):
        if number != self.ran:
            raise Fault("two runs share the scratch memory of one context")
        self.ran += 1
        given = {name: self._bytes(name, *place).copy() for name, place in inputs.items()}
        made = ReferenceEvaluator(self.engine.model).run(list(self.engine.outputs), given)
        return {n: np.ascontiguousarray(a, self.engine.outputs[n].numpy) for n, a in zip(self.engine.outputs, made)}

    def _write(self, made, addresses, watched=()):
        for name, allocator in watched:
            if allocator() is None:
                raise Fault(f"the allocator of {name} went before the run had ended")
        for name, array in made.items():
            self._bytes(name, addresses[name], array.shape, self.engine.outputs[name])[...] = array

    def _bytes(self, name, address, shape, tensor):
        nbytes = int(np.prod(shape)) * np.dtype(tensor.numpy).itemsize
        if name in self.engine.host:
            raw = np.ctypeslib.as_array((ctypes.c_uint8 * nbytes).from_address(address))
        else:
            raw = BLOCKS.at(address, nbytes)
        return raw.view(tensor.numpy).reshape(shape)

    def _infer(self):
        """Output shapes for the input shapes that are set, and for the values of inputs on the host."""
        model = onnx.ModelProto()
        model.CopyFrom(self.engine.model)
        for proto in list(model.graph.input):
            shape = self.shapes[proto.name]
            del proto.type.tensor_type.shape.dim[:]
            for size in shape:
                proto.type.tensor_type.shape.dim.add().dim_value = size
            if proto.name in self.engine.host:
                values = self._bytes(proto.name, self.addresses[proto.name], shape, self.engine.inputs[proto.name])
                model.graph.initializer.append(numpy_helper.from_array(values.copy(), proto.name))
                model.graph.input.remove(proto)
        for proto in model.graph.output:
            for dim in proto.type.tensor_type.shape.dim:
                if dim.HasField("dim_param"):
                    dim.Clear()
        found = shape_inference.infer_shapes(model, data_prop=True)
        return {p.name: Tensor(p, found).shape for p in found.graph.output}
