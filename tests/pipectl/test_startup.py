"""What starting costs: nothing heavy is imported before it is needed."""

import subprocess
import sys

HEAVY = "{'torch', 'cupy', 'onnxruntime', 'tensorrt', 'grpc', 'numpy', 'networkx', 'lark', 'rich', 'PIL', 'pyarrow'}"


def python(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip()


def test_importing_the_package_imports_nothing_of_ours_or_others():
    loaded = "print(sorted(m for m in sys.modules if m.partition('.')[0] in "
    ours = "{'grammar', 'pipeline_dsl', 'backends', 'executor', 'click'}"
    assert python(f"import sys, pipectl; {loaded}{ours} | {HEAVY}))") == "[]"


def test_help_imports_only_click():
    program = (
        "import sys; from pipectl.__main__ import run\nimport io, contextlib\n"
        "with contextlib.redirect_stdout(io.StringIO()): run(['--help'])\n"
        f"print(sorted({HEAVY} & sys.modules.keys()))"
    )
    assert python(program) == "[]"


def test_checking_imports_no_user_code_and_no_model_library(hello):
    program = (
        "import sys; from pipectl.__main__ import run\nimport io, contextlib\n"
        f"with contextlib.redirect_stdout(io.StringIO()): assert run(['check', {str(hello)!r}]) == 0\n"
        "print([m for m in sys.modules if m.startswith('stages_')])\n"
        "print(sorted({'torch', 'cupy', 'onnxruntime', 'tensorrt', 'grpc', 'rich', 'executor'} & sys.modules.keys()))"
    )
    assert python(program).splitlines() == ["[]", "[]"]
