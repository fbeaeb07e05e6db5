import json
from pathlib import Path

import numpy as np
import pytest

from pipectl.decode import DecodeError, from_file, from_json, from_text
from tests.pipectl.ports import port


@pytest.mark.parametrize(
    ("type_", "text", "value"),
    [
        ("string", "Ada", "Ada"),
        ("string", "3", "3"),
        ("string", '["a"]', '["a"]'),
        ("string[*]", "Ada", ["Ada"]),
        ("string[*]", '["a", "b"]', ["a", "b"]),
        ("bytes", "é", "é".encode()),
        ("bytes[*]", '["a", {"b64": "AAE="}]', [b"a", b"\0\1"]),
        ("i64", "3", 3),
        ("f32[2]", "[1, 2.5]", [1, 2.5]),
        ("bool", "true", True),
        ("f32?", "null", None),
        ("json", '{"a": [1]}', {"a": [1]}),
    ],
)
def test_inline_values(type_, text, value):
    assert from_text(port("x", type_), text) == value


@pytest.mark.parametrize("text", ["three", "[1,", "", "[" * 100_000])
def test_inline_text_that_is_no_json(text):
    with pytest.raises(DecodeError, match=r"not JSON|nested too deeply"):
        from_text(port("x", "i64"), text)


def test_json_bytes():
    image = port("x", "bytes")
    assert from_json(image, "é") == "é".encode()
    assert from_json(image, {"b64": "AAE="}) == b"\0\1"
    assert from_json(port("x", "bytes?"), None) is None
    with pytest.raises(DecodeError, match="not base64"):
        from_json(image, {"b64": "***"})
    with pytest.raises(DecodeError, match="b64"):
        from_json(image, 3)


def written(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_bytes_are_the_file_whatever_its_ending(tmp_path):
    assert from_file(port("x", "bytes"), written(tmp_path / "a.npy", b"\0raw")) == b"\0raw"
    assert from_file(port("x", "bytes[*]"), written(tmp_path / "a.png", b"raw")) == [b"raw"]


def test_text_files(tmp_path):
    file = written(tmp_path / "a.txt", "one\ntwo\n")
    assert from_file(port("x", "string"), file) == "one\ntwo"
    assert from_file(port("x", "string[*]"), file) == ["one", "two"]
    with pytest.raises(DecodeError, match="not UTF-8 text"):
        from_file(port("x", "string"), written(tmp_path / "b.txt", b"\xff\xfe"))


def test_json_files(tmp_path):
    file = written(tmp_path / "a.json", json.dumps([[1, 2]]))
    assert from_file(port("x", "i64[*, 2]"), file) == [[1, 2]]
    assert from_file(port("x", "json"), file) == [[1, 2]]


def test_array_files(tmp_path):
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "one.npz", other=array)
    np.savez(tmp_path / "two.npz", x=array, y=array + 1)
    for name in ("a.npy", "one.npz", "two.npz"):
        np.testing.assert_array_equal(from_file(port("x", "f32[*, 3]"), tmp_path / name), array)
    with pytest.raises(DecodeError, match=r"no array `z`, but x, y"):
        from_file(port("z", "f32[*, 3]"), tmp_path / "two.npz")


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_files_that_are_no_arrays(tmp_path, name):
    with pytest.raises(DecodeError, match="is not an"):
        from_file(port("x", "f32"), written(tmp_path / name, b"not an array"))


def test_arrays_of_objects_are_never_unpickled(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DecodeError, match=r"is not an \.npy file"):
        from_file(port("x", "f32"), tmp_path / "a.npy")


@pytest.mark.parametrize(
    ("type_", "shape"),
    [
        ("u8[H, W, 3]", (4, 5, 3)),
        ("u8[H, W]", (4, 5)),
        ("u8[H, W, 1]", (4, 5, 1)),
        ("u8[3, H, W]", (3, 4, 5)),
        ("u8[*, H, W, 3]", (1, 4, 5, 3)),
        ("u8[*, H, W]", (1, 4, 5)),
        ("u8[1, H, W, 3]", (1, 4, 5, 3)),
    ],
)
def test_images_take_the_layout_of_the_port(tmp_path, type_, shape):
    image = pytest.importorskip("PIL.Image", reason="the images extra is not installed")
    image.new("RGB", (5, 4), (255, 0, 0)).save(tmp_path / "a.png")
    pixels = from_file(port("x", type_), tmp_path / "a.png")
    assert (pixels.dtype, pixels.shape) == (np.uint8, shape)
    assert pixels.flags.c_contiguous
    if 3 in shape:
        channel = np.moveaxis(pixels.reshape(shape[-3:]), shape[-3:].index(3), 0)
        assert channel.reshape(3, -1).mean(axis=1).tolist() == [255, 0, 0]


def test_image_mistakes(tmp_path):
    pytest.importorskip("PIL.Image", reason="the images extra is not installed")
    broken = written(tmp_path / "a.png", b"\x89PNG\r\n\x1a\nbroken")
    with pytest.raises(DecodeError, match="can not be decoded"):
        from_file(port("x", "u8[H, W, 3]"), broken)
    with pytest.raises(DecodeError, match=r"u8 pixels, and the port is f32\[H, W, 3\]") as error:
        from_file(port("x", "f32[H, W, 3]"), broken)
    assert "u8[H, W, 3]" in error.value.hint


def test_a_file_of_no_known_kind(tmp_path):
    with pytest.raises(DecodeError, match=r"can not read f32 from") as error:
        from_file(port("x", "f32"), written(tmp_path / "a.csv", "1,2"))
    assert ".npy" in error.value.hint
