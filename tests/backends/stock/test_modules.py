"""The stock modules: free of mistakes, loadable to the last stage, and usable from a user's own file."""

import io
from inspect import isclass, signature
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pipectl
from backends.importer import acquire, release
from pipeline_dsl.check.load import STOCK_FOLDER, stock_modules
from pipeline_dsl.check.options import Options, TextLoader
from pipeline_dsl.compile import check_path, check_text
from pipeline_dsl.diagnostics import Sink
from pipeline_dsl.parse import parse
from pipeline_dsl.read import read
from pipeline_dsl.syntax import Stage

FILES = sorted(STOCK_FOLDER.glob("*.pipe"))


def stages(file: Path) -> list[Stage]:
    return [decl for decl in parse(read(file), Sink()).decls if isinstance(decl, Stage)]


def test_there_are_three():
    assert stock_modules() == ("@std/post.pipe", "@std/text.pipe", "@std/vision.pipe")


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_each_is_clean_and_documented(file):
    program, sink = check_path(file)
    assert program is not None
    assert not sink.found
    assert all(stage.doc for stage in stages(file))


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_each_names_code_that_is_there_with_the_ports_it_declares(file):
    for stage in stages(file):
        target = stage.using.args[0].value.value
        found = acquire(target, str(STOCK_FOLDER), stage.name.text)
        release(str(STOCK_FOLDER))
        keys = {argument.name.text for argument in stage.using.args[1:]}
        takes = set(signature(found.__call__ if isclass(found) else found).parameters) - {"self"}
        ports = {port.name.text for port in stage.signature.inputs}
        assert takes == (ports if isclass(found) else ports | keys), stage.name.text


def test_a_stock_module_is_found_whatever_reads_the_files():
    text = 'pipe 1\nfrom "@std/post.pipe" import top1\n'
    text += "pipeline p(s: f32[*, C]) -> (l: i64[*]) {\n  return l = top1(s).label\n}\n"
    program, sink = check_text(text, Options(environ={}, loader=TextLoader({})))
    assert program is not None
    assert not sink.found


def test_the_modules_bring_nothing_onto_the_import_path():
    assert not [file for file in STOCK_FOLDER.iterdir() if file.suffix != ".pipe"]


PROGRAM = """pipe 1

import "@std/vision.pipe" as vision
from "@std/post.pipe" import softmax, topk

stage colours(x: f32[*, 3, 8, 8]) -> (logits: f32[*, 3])
  using python("own_stages:colours")

pipeline look(file: bytes, boxes: f32[N, 4]) -> (square: f32[3, 16, 16], labels: i64[N, ~K], best: f32[N, ~K]) {
  image = vision.decode(file, max_pixels = 5000)
  labels, best = topk(softmax(colours(vision.crop(image, boxes))), k = 2)
  return square = vision.letterbox(image), labels, best
}

profile small {
  vision.SIDE = 16
  vision.CROP = 8
}
"""
STAGES = "def colours(*, x):\n    return x.mean(axis=(2, 3)) * 10\n"


def test_a_pipeline_of_stock_stages_answers(tmp_path):
    (tmp_path / "look.pipe").write_text(PROGRAM, encoding="utf-8")
    (tmp_path / "own_stages.py").write_text(STAGES, encoding="utf-8")
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:, :30, 0] = 250  # red on the left
    pixels[:, 30:, 2] = 250  # blue on the right
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    boxes = np.array([[0, 0, 20, 20], [40, 10, 60, 40]], np.float32)
    with pipectl.load(tmp_path / "look.pipe", profile="small") as app:
        answer = app["look"](file=buffer.getvalue(), boxes=boxes)
        assert [row[0] for row in answer["labels"]] == [0, 2]
        assert answer["square"].shape == (3, 16, 16)
        large = io.BytesIO()
        Image.new("RGB", (100, 100)).save(large, "PNG")
        with pytest.raises(pipectl.RequestError, match="100 x 100 pixels, more than max_pixels = 5000") as failure:
            app["look"](file=large.getvalue(), boxes=boxes)
    assert failure.value.grpc_code == "INVALID_ARGUMENT"


def test_a_tokenizer_beside_the_users_file(tmp_path):
    tokenizers = pytest.importorskip("tokenizers", reason="the examples extra is not installed")
    model = tokenizers.Tokenizer(tokenizers.models.WordLevel({"?": 0, "a": 1, "b": 2}, unk_token="?"))
    model.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    model.save(str(tmp_path / "words.json"))
    (tmp_path / "own.pipe").write_text(
        """pipe 1
import "@std/text.pipe" as text

stage tokenize like text.tokenize
  using python("backends.stock.text:Tokenizer", file = "words.json")

pipeline p(text: string[*]) -> (ids: i64[*, ~L]) {
  return ids = tokenize(text).ids
}
""",
        encoding="utf-8",
    )
    with pipectl.load(tmp_path / "own.pipe") as app:
        assert [row.tolist() for row in app["p"](text=["a b", "b"])["ids"]] == [[1, 2], [2]]
