"""A stream of words: read while it is written, looked at one by one, collected, and left."""

import pytest

import pipectl


@pytest.fixture(scope="module")
def story(stream):
    with pipectl.load(stream / "stream.pipe") as app:
        yield app["story"]


def test_words_come_one_by_one_and_the_whole_at_the_end(story):
    pieces = list(story.stream(start="The class", most=25, seed=3))
    words = [piece["word"] for piece in pieces if "word" in piece]
    letters = [piece["letters"] for piece in pieces if "letters" in piece]
    assert 1 <= len(words) <= 25
    assert letters == [sum(map(str.isalpha, word)) for word in words]
    last = pieces[-1]
    assert last["text"] == " ".join(words)
    assert last["finish"] == ("stop" if words[-1].endswith(".") else "length")


def test_the_first_word_does_not_wait_for_the_last(story):
    """A reader that takes one word of ten thousand and leaves."""
    words = story.stream(start="The class", most=10_000, seed=5, outputs=["word"])
    assert next(words)["word"]
    words.close()
    with pytest.raises(StopIteration):
        next(words)


def test_the_same_seed_tells_the_same_to_readers_side_by_side(story):
    one, other = (story.stream(start="The", most=15, seed=8, outputs=["word"]) for _ in range(2))
    assert [(a["word"], b["word"]) for a, b in zip(one, other)] == [
        (w["word"],) * 2 for w in story.stream(start="The", most=15, seed=8, outputs=["word"])
    ]


def test_how_many_words_is_checked(story):
    with pytest.raises(pipectl.RequestError, match="`most` is 0, must be 1 to 10000") as failure:
        list(story.stream(start="The", most=0))
    assert failure.value.grpc_code == "INVALID_ARGUMENT"


def test_script(stream, python):
    printed = python(stream / "tell.py", "The", "class").splitlines()
    assert printed[0].startswith("The class ")
    assert printed[1] in (f"({end}, {len(printed[0].split()) - 2} words)" for end in ("stop", "length"))
    assert printed[2].endswith("and left")


def test_command(stream, python):
    printed = python("-m", "pipectl", "run", stream / "stream.pipe", "--input", "start=The class")
    assert "story.count_1" in printed
