"""A model as Triton's users write it, for a repository that goes through import and export."""

import json

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        config = json.loads(args["model_config"])
        self.factor = float(config["parameters"]["factor"]["string_value"])
        self.inputs = [i["name"] for i in config["input"]]
        self.outputs = [o["name"] for o in config["output"]]

    def execute(self, requests):
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        given = [pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self.inputs]
        value = (sum(given) * self.factor).astype(np.float32)
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, value) for name in self.outputs])
