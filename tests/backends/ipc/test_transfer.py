"""Every kind of value crosses and comes back equal, with its type."""

import ml_dtypes
import numpy as np
import pytest

from backends.ipc.encoded import INLINE, Blobs, Dense, Flat, Objects
from backends.ipc.segments import Arena, Attached, Region
from backends.ipc.transfer import ValueReader, ValueWriter
from backends.values import Ragged
from pipeline_dsl.dtypes import DTYPES


@pytest.fixture
def cross():
    """Write values, pass the segments, read them."""
    arena, attached = Arena(), Attached()

    def way(*values):
        writer = ValueWriter(arena)
        encoded = [writer.write(value) for value in values]
        opened, dropped, fds = arena.news()
        attached.attach(opened, fds)
        attached.detach(dropped)
        reader = ValueReader(attached)
        back = [reader.read(value) for value in encoded]
        return back[0] if len(values) == 1 else back

    yield way
    arena.close()
    attached.close()


def assert_same(back, value):
    assert type(back) is type(value)
    if isinstance(value, Ragged):
        assert len(back) == len(value)
        assert (back.is_packed, back.is_padded) == (value.is_packed, value.is_padded)
        for left, right in zip(back, value):
            assert_same(left, right)
    elif isinstance(value, np.ndarray):
        assert back.dtype == value.dtype
        assert back.shape == value.shape
        assert back.flags.c_contiguous
        assert not back.flags.writeable
        if value.dtype.hasobject:
            assert back.tolist() == value.tolist()
        else:
            assert back.tobytes() == value.tobytes()
    else:
        assert repr(back) == repr(value)


NUMERIC = [d.numpy for d in DTYPES.values() if d.numeric]


@pytest.mark.parametrize(
    "dtype", [*NUMERIC, np.dtype(">i4"), np.dtype("c8"), np.dtype("U3"), np.dtype("M8[s]")], ids=str
)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (0, 4), (2, 3, 5), (1000, 7)], ids=str)
def test_dtypes_and_shapes(cross, dtype, shape):
    raw = np.random.default_rng(0).integers(0, 2, (*shape, dtype.itemsize), np.uint8)
    value = np.frombuffer(raw.tobytes(), np.uint8).view(dtype).reshape(shape) if raw.size else np.empty(shape, dtype)
    assert_same(cross(value), value)


@pytest.mark.parametrize(
    "value",
    [
        np.arange(10_000).reshape(100, 100).T,
        np.arange(10_000)[::-3],
        np.broadcast_to(np.float32(2), (500, 500)),
        np.asfortranarray(np.ones((60, 70), np.float64)),
    ],
    ids=["transposed", "reversed", "broadcast", "fortran"],
)
def test_strides(cross, value):
    back = cross(value)
    assert_same(back, value)


OBJECTS = {
    "text": ["", "äöü €", "\0", "x" * 10_000, "\ud800"],
    "bytes": [b"", b"\xff" * 50_000, bytes(range(256))],
    "mixed": ["a", b"b", None, 3],
    "json": [{"a": [1, 2.5, None, True]}, [], "x", {"deep": {"er": [{}]}}],
    "large whole numbers": [2**70, -(2**65), 2**64 - 1],
    "floats": [float("inf"), -0.0, 1e-300],
}


@pytest.mark.parametrize("items", OBJECTS.values(), ids=OBJECTS.keys())
def test_object_columns(cross, items):
    value = np.empty(len(items), object)
    for i, item in enumerate(items):
        value[i] = item
    back = cross(value)
    assert_same(back, value)
    assert [type(item) for item in back] == [type(item) for item in items]


def test_object_columns_of_equal_lists_keep_their_shape(cross):
    value = np.empty(2, object)
    value[:] = [[1, 2], [3, 4]]
    assert_same(cross(value), value)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 3)], ids=str)
@pytest.mark.parametrize("item", ["text", b"bytes"])
def test_object_shapes(cross, shape, item):
    assert_same(cross(np.full(shape, item, object)), np.full(shape, item, object))


@pytest.mark.parametrize(
    "value",
    [
        True,
        False,
        0,
        -(2**63),
        2**64,
        2.5,
        float("nan"),
        "",
        "ä" * 1000,
        b"",
        b"\0" * 100_000,
        None,
        {"k": [1, "x"]},
        [],
    ],
    ids=lambda value: str(value)[:20],
)
def test_python_values(cross, value):
    assert_same(cross(value), value)


@pytest.mark.parametrize("value", [np.float32(1.5), np.int8(-3), np.bool_(True)], ids=repr)
def test_numpy_scalars(cross, value):
    assert_same(cross(value), value)


@pytest.mark.parametrize("length", [3, 5000])
def test_ragged_of_every_form(cross, length):
    rows = [np.arange(n * 2, dtype=np.float32).reshape(n, 2) for n in (length, 0, 7)]
    values, offsets = Ragged(rows).packed()
    padded = Ragged(rows).padded()
    for value in (
        Ragged(rows),
        Ragged(values=values, offsets=offsets),
        Ragged(padded=padded, lengths=np.array([length, 0, 7])),
        Ragged(rows)[1:],
        Ragged(values=values, offsets=offsets)[1:],
        Ragged([]),
        Ragged([np.ones((2, 3, 4)), np.ones((5, 1, 4))]),
        Ragged([np.array([], np.int32)]),
        Ragged([np.ones(3, ml_dtypes.bfloat16), np.ones(5, ml_dtypes.bfloat16)]),
        Ragged([np.array(["a", "b"], object), np.array([], object)]),
        Ragged([np.ones(2, np.float32), np.ones(3, np.float64)]),
        Ragged(values=np.array(["a", "b", "c"], object), offsets=np.array([0, 1, 3])),
    ):
        assert_same(cross(value), value)


def test_a_50_megabyte_array(cross):
    value = np.arange(12_500_000, dtype=np.float32)
    assert_same(cross(value), value)


def test_only_small_values_travel_in_the_message():
    arena = Arena()
    writer = ValueWriter(arena)
    assert isinstance(writer.write(np.zeros(INLINE, np.uint8)).data, bytes)
    assert writer.written == 0
    large = np.zeros(INLINE + 1, np.uint8)
    many = np.full(100, "text", object)
    blobs = np.full(100, b"bytes", object)
    for value, kind in ((large, Dense), (many, Objects), (blobs, Blobs)):
        encoded = writer.write(value)
        assert isinstance(encoded, kind)
        assert isinstance(encoded.data, Region)
    encoded = writer.write(Ragged([large, large]))
    assert isinstance(encoded, Flat)
    assert isinstance(encoded.values.data, Region)
    assert writer.written == sum(region.size for region in writer.regions)
    writer.release()
    assert arena.taken == 0
    arena.close()


@pytest.mark.parametrize(
    "value", [object(), {1, 2}.__iter__(), [object()], {"x": 1j}], ids=["object", "iterator", "list", "complex"]
)
def test_what_can_not_cross_is_named(cross, value):
    with pytest.raises(TypeError, match=r"of type \w+ can not be sent to another process|not supported"):
        cross(value)


def test_numpy_numbers_in_json_become_plain_ones(cross):
    assert cross({"n": np.int32(3), "x": np.float64(0.5)}) == {"n": 3, "x": 0.5}


@pytest.mark.parametrize(
    "damaged",
    [
        Dense(b"1234", "<f4", (2,)),
        Dense(b"1234", "<f4", (-1,)),
        Dense(b"1234", "|O", (1,)),
        Dense(b"1234", "nonsense", (1,)),
        Dense(b"", "<f4", (2**62, 2**62, 0)),
        Blobs(b"abc", [1, 1], (2,)),
        Blobs(b"abc", [5, -2], (2,)),
        Objects(b"\x93\x01\x02\x03", "msgpack", (2,)),
        Objects(b"{}", "json", (1,)),
        Flat(Dense(b"1234", "<f4", (1,)), [(2,)]),
    ],
    ids=repr,
)
def test_damaged_values_raise(damaged):
    with pytest.raises((ValueError, TypeError)):
        ValueReader(Attached()).read(damaged)
