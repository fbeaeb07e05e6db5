"""Profiles from ports and settings, and the choice between them: pure."""

import pytest

from backends import BackendError
from backends.ort_tensors import Slot, Tensor
from backends.tensorrt.profiles import MOST, Range, fits, narrowest, profiles_of, shown
from pipeline_dsl.plan import BatchPolicy, PortPlan
from tests.backends.stages import port, stage


def slot(port_plan: PortPlan, *shape):
    """The port's tensor; a size of None is open."""
    return Slot(port_plan, Tensor(port_plan.name, "f32", shape))


def made(*slots, where=(), most=8, preferred=()):
    from dataclasses import replace

    plan = stage("tensorrt", tuple(s.port for s in slots), "y: f32[*]", where=where)
    return profiles_of(replace(plan, batching=BatchPolicy(max_rows=most, preferred=preferred)), slots)


def texts(*slots, **options):
    """What each profile says of each tensor."""
    return [" ".join(shown(profile, s.tensor.name) for s in slots) for profile in made(*slots, **options)]


def refused(*slots, **options):
    with pytest.raises(BackendError) as error:
        made(*slots, **options)
    return str(error.value), error.value.hint


def padded(text, buckets=()):
    return port(text, form="padded", buckets=buckets)


def test_no_open_axis_needs_no_profile():
    assert made(slot(port("x: f32[3, 4]"), 3, 4)) == ()


def test_rows_go_from_one_to_the_most_and_are_tuned_for_the_most():
    (profile,) = made(slot(port("x: f32[*, 4]"), None, 4))
    assert profile == {"x": (Range(1, 8, 8), Range(4, 4, 4))}


def test_rows_are_tuned_for_the_largest_size_that_is_preferred():
    x = slot(port("x: f32[*, 4]"), None, 4)
    assert made(x, preferred=(2, 6, 40))[0]["x"][0] == Range(1, 6, 8)


def test_rows_without_a_limit_have_no_profile():
    text, hint = refused(slot(port("x: f32[*, 4]"), None, 4), most=0)
    assert text == "stage `s`: an engine needs a largest number of rows"
    assert hint == "set `batching { max = n }`"


def test_names_go_up_to_their_bound():
    x = slot(port("x: f32[*, S, W]"), None, None, None)
    where = ("S <= 128", "4 <= S", "W < 10", "S <= 256")
    assert texts(x, where=where) == ["[1..8, 4..128, 1..9]"]


def test_a_name_that_is_fixed_by_where():
    assert texts(slot(port("x: f32[*, S]"), None, None), where=("S == 7",)) == ["[1..8, 7]"]


def test_a_name_without_a_bound_is_refused():
    text, hint = refused(slot(port("x: f32[*, S]"), None, None), where=("S >= 2",))
    assert text == "stage `s`: size `S` has no largest value, and an engine is built for one"
    assert hint == "add `where S <= n` to the signature, or buckets to its ragged rule"


@pytest.mark.parametrize("dims", ["?", "..."])
def test_a_dim_without_a_name_is_refused(dims):
    text, hint = refused(slot(port(f"x: f32[*, {dims}]"), None, None))
    assert text == f"stage `s`: dim 1 of `x` is `{dims}`, and an engine is built for sizes"
    assert hint == "give it a name, and bound it: `where NAME <= n`"


def test_what_the_file_fixes_needs_no_name():
    assert texts(slot(port("x: f32[*, ?, ...]"), None, 3, 5, 6)) == ["[1..8, 3, 5, 6]"]


def test_dims_behind_others_of_any_number_are_counted_from_the_end():
    assert texts(slot(port("x: f32[*, ..., S]"), None, 3, 5, None), where=("S <= 9",)) == ["[1..8, 3, 5, 1..9]"]


def test_expressions_are_worked_out_at_the_ends():
    x = slot(port("x: f32[*, 2*S]"), None, None)
    assert made(x, where=("S <= 9", "S >= 3"))[0]["x"][1] == Range(6, 18, 18)


def test_a_profile_for_each_bucket_and_one_for_what_is_longer():
    x = slot(padded("x: f32[*, ~L]", (16, 64)), None, None)
    mask = slot(padded("mask: f32[*, ~L]", ()), None, None)
    assert texts(x, mask) == ["[1..8, 16] [1..8, 16]", "[1..8, 64] [1..8, 64]"]
    assert texts(x, where=("L <= 100",)) == ["[1..8, 16]", "[1..8, 64]", "[1..8, 65..100]"]
    assert texts(x, where=("L <= 64",)) == ["[1..8, 16]", "[1..8, 64]"]


def test_padding_without_buckets_covers_all_lengths():
    assert texts(slot(padded("x: f32[*, ~L]"), None, None), where=("L <= 100",)) == ["[1..8, 1..100]"]


def test_buckets_of_two_names_multiply_up_to_a_number():
    a, b = (2, 4), (3, 5, 7)
    x, z = slot(padded("x: f32[*, ~A]", a), None, None), slot(padded("z: f32[*, ~B]", b), None, None)
    assert len(made(x, z)) == 6
    wide = slot(padded("z: f32[*, ~B]", tuple(range(1, MOST + 1))), None, None)
    assert texts(x, wide) == ["[1..8, 2..4] [1..8, 1..16]"]


def test_packed_rows_count_all_items():
    x = slot(port("x: f32[*, ~L, 3]", form="packed"), None, 3)
    offsets = slot(port("cu: i64[M]", filled="offsets"), None)
    assert texts(x, offsets, where=("L <= 100",)) == ["[1..800, 3] [2..9]"]


def test_the_narrowest_profile_that_holds_the_shapes_is_chosen():
    profiles = made(slot(padded("x: f32[*, ~L]", (4, 16)), None, None), where=("L <= 32",))
    assert [narrowest(profiles, {"x": (2, n)}) for n in (4, 16, 17, 32, 5, 33)] == [0, 1, 2, 2, None, None]
    assert narrowest(profiles, {"x": (9, 4)}) is None
    assert narrowest(profiles, {"x": (2, 4, 1)}) is None


def test_of_overlapping_profiles_the_smaller_one_and_of_equal_ones_the_first():
    def profile(most):
        return {"x": (Range(1, most, most),)}

    assert narrowest([profile(64), profile(8), profile(8)], {"x": (3,)}) == 1
    assert narrowest([profile(64), profile(8)], {"x": (9,)}) == 0


def test_tensors_that_a_profile_does_not_know_do_not_matter():
    assert fits({"x": (Range(1, 1, 1),)}, {"x": (1,), "k": (5,)})
