"""The backends on devices: the public suite on the simulator, on a fake CUDA, and on a real one where there is one."""

import sys

import pytest

from backends import BackendError, load
from backends.device import device, forget
from backends.device.sim import Simulation, use
from tests.backends import test_conformance as suite
from tests.backends import test_states as states
from tests.backends.fake_cuda import installed
from tests.backends.fake_ort import FakeRuntime
from tests.backends.stages import stage


@pytest.fixture(autouse=True)
def _folder(request, tmp_path_factory):
    if request.instance is not None:
        request.instance.folder = tmp_path_factory.mktemp("stage")


# ---- the simulator: instances of the host, wrapped


class OnSimulator:
    device = "sim:0"

    @pytest.fixture(autouse=True, params=range(3))
    def _simulation(self, request):
        with use(Simulation(request.param)) as simulation:
            yield
            simulation.check()


class TestNullOnSimulator(OnSimulator, suite.TestNull):
    pass


class TestPythonOnSimulator(OnSimulator, suite.TestPython):
    pass


class TestPythonStreamsOnSimulator(OnSimulator, suite.TestPythonStreams):
    pass


class TestOnnxOnSimulator(OnSimulator, suite.TestOnnx):
    pass


@pytest.mark.torch
class TestTorchOnSimulator(OnSimulator, suite.TestTorch):
    pass


class TestOnnxStatesOnSimulator(OnSimulator, states.TestOnnx):
    pass


# ---- a fake CUDA: the backends' own code for devices


class OnFakeCuda:
    device = "cuda:0"

    @pytest.fixture(autouse=True)
    def _device(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "onnxruntime", FakeRuntime())
        with installed(monkeypatch):
            yield


class TestPythonOnFake(OnFakeCuda, suite.TestPython):
    pass


class TestPythonStreamsOnFake(OnFakeCuda, suite.TestPythonStreams):
    pass


@pytest.mark.torch
class TestPythonWithTensorsOnFake(OnFakeCuda, suite.TestPython):
    def stage(self):
        (self.folder / "doubling.py").write_text("def double(*, x):\n    return x * 2\n\ndef other(*, z): ...\n")
        return stage("python", suite.X, suite.Y, folder=self.folder, artifact="doubling:double", arrays="torch")

    def broken(self):
        return []


class TestPythonRowByRowOnFake(OnFakeCuda, suite.TestPython):
    def stage(self):
        (self.folder / "doubling.py").write_text("def double(*, x):\n    return x * 2\n")
        return stage("python", suite.X, suite.Y, folder=self.folder, artifact="doubling:double", each=True)

    def broken(self):
        return []


@pytest.mark.torch
class TestTorchOnFake(OnFakeCuda, suite.TestTorch):
    @pytest.fixture(autouse=True)
    def _stays_on_the_host(self, monkeypatch):
        """torch here has no CUDA: what a program's weights are moved to is the host."""
        pytest.importorskip("torch")
        monkeypatch.setattr("backends.torch_modules._on", lambda torch, program, device: program)


class TestOnnxOnFake(OnFakeCuda, suite.TestOnnx):
    pass


class TestOnnxOfFixedRowsOnFake(OnFakeCuda, suite.TestOnnxOfFixedRows):
    pass


class TestOnnxStatesOnFake(OnFakeCuda, states.TestOnnx):
    pass


# ---- a real one


def reason():
    """Why tests that need a GPU are skipped; empty if they are not."""
    try:
        device("cuda:0")
    except (BackendError, ImportError) as error:
        return f"no GPU: {error}"
    return ""


@pytest.mark.gpu
class OnGpu:
    device = "cuda:0"

    @pytest.fixture(autouse=True)
    def _gpu(self):
        if why := reason():
            pytest.skip(why)


class TestPythonOnGpu(OnGpu, suite.TestPython):
    pass


class TestPythonStreamsOnGpu(OnGpu, suite.TestPythonStreams):
    pass


@pytest.mark.torch
class TestPythonWithTensorsOnGpu(OnGpu, TestPythonWithTensorsOnFake):
    @pytest.fixture(autouse=True)
    def _device(self):
        """The real one."""


@pytest.mark.torch
class TestTorchOnGpu(OnGpu, suite.TestTorch):
    pass


class TestOnnxOnGpu(OnGpu, suite.TestOnnx):
    @pytest.fixture(autouse=True)
    def _provider(self):
        ort = pytest.importorskip("onnxruntime")
        if "CUDAExecutionProvider" not in ort.get_available_providers():
            pytest.skip("the onnxruntime installed here has no CUDA provider")


class TestOnnxStatesOnGpu(OnGpu, states.TestOnnx):
    _provider = TestOnnxOnGpu._provider


# ---- devices that are not there


@pytest.mark.parametrize("backend", ["python", "onnx", "torch"])
def test_a_gpu_that_is_not_there_names_the_stage(backend, monkeypatch, tmp_path):
    def driver(index):
        raise BackendError(f"there is no GPU {index}", "nvidia-smi lists those there are")

    with installed(monkeypatch):
        monkeypatch.setattr(sys.modules["backends.device.cuda"], "driver", driver)
        forget()
        plan = stage(backend, suite.X, suite.Y, folder=tmp_path, artifact="m:f", name="slow")
        with pytest.raises(BackendError, match="stage `slow`: there is no GPU 3") as caught:
            load(backend).load(plan, suite.InstanceConfig(device="cuda:3"))
        assert caught.value.hint
