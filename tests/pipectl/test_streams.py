"""Streams from Python and from the command line."""

import asyncio
import json
import signal

import pytest

import pipectl

PIPE = """pipe 1

stage write(topic: string, n: i64) -> (word: stream string, words: i64) using python("writer:write")

pipeline story(topic: string, n: i64 = 3) -> (word: stream string, topic_was: string, words: i64) {
  w = write(topic, n)
  return word = w.word, topic_was = topic, words = w.words
}

stage echo(x: i64) -> (y: i64) using python("writer:echo")

pipeline plain(x: i64, user: string? = null) -> (y: i64, user: string) {
  return y = echo(x), user = header("x-user") ?? user ?? "nobody"
}
"""
WRITER = """
def write(*, topic, n):
    i = 0
    while i != n:
        if topic == "bad" and i == 2:
            raise ValueError("no third word")
        yield f"{topic}{i}"
        i += 1
    return i

def echo(*, x):
    return x
"""


@pytest.fixture
def story(folder):
    (folder / "writer.py").write_text(WRITER)
    path = folder / "story.pipe"
    path.write_text(PIPE.replace(" using python", "\n  using python"))
    return path


@pytest.fixture
def app(story):
    with pipectl.load(story) as running:
        yield running


def records(text):
    return [json.loads(line) for line in text.splitlines()]


# ---- Python


def test_pieces(app):
    pieces = [{"topic_was": "a"}, {"word": "a0"}, {"word": "a1"}, {"word": "a2"}, {"words": 3}]
    assert list(app["story"].stream(topic="a")) == pieces
    assert list(app["story"].stream({"topic": "a"}, n=0)) == [{"topic_was": "a"}, {"words": 0}]
    assert list(app["story"].stream(topic="a", outputs=["word"])) == pieces[1:-1]


def test_a_call_gives_readers(app):
    answer = app["story"](topic="a", n=200)
    assert answer["topic_was"] == "a"
    with pytest.raises(pipectl.NotYet):
        answer["words"]
    assert list(answer["word"]) == [f"a{i}" for i in range(200)]
    assert answer.wait()["words"] == 200


def test_leaving_the_loop_cancels(app):
    for piece in app["story"].stream(topic="a", n=-1):
        if piece.get("word") == "a5":
            break
    del piece
    with app["story"].stream(topic="a", n=-1) as pieces:
        next(pieces)
    assert app.drain(10)


def test_pieces_in_async_code(app):
    async def main():
        found = [piece async for piece in app["story"].astream(topic="a", n=1)]
        assert found == [{"topic_was": "a"}, {"word": "a0"}, {"words": 1}]
        async with app["story"].astream(topic="a", n=-1) as pieces:
            await anext(pieces)
        with pytest.raises(pipectl.RequestError, match="no third word"):
            async for _ in app["story"].astream(topic="bad"):
                pass

    asyncio.run(main())


def test_a_pipeline_without_streams_says_so(app):
    with pytest.raises(TypeError, match="`plain` has no stream output"):
        app["plain"].stream(x=1)


def test_headers(app):
    assert app["plain"](x=1, headers={"X-User": "ada"}) == {"y": 1, "user": "ada"}
    assert app["plain"](x=1, user="me") == {"y": 1, "user": "me"}


# ---- the command


def test_each_element_is_a_line(story, call):
    done = call("run", story, "-p", "story", "-i", "topic=a", "-i", "topic=b", "-i", "n=1", "--format", "json")
    assert done.code == 0
    parts = [{"topic_was": "a"}, {"word": "a0"}, {"words": 1}]
    expected = [{"index": 0, "id": "0", "part": i, "outputs": part} for i, part in enumerate(parts)]
    assert records(done.out)[:3] == expected
    assert [r["index"] for r in records(done.out)] == [0, 0, 0, 1, 1, 1]
    assert "2 answers in" in done.err


def test_each_element_is_a_row(story, call):
    done = call("run", story, "-p", "story", "-i", "topic=a", "--outputs", "word")
    assert done.out.splitlines()[:4] == ["request  word", "0        a0", "0        a1", "0        a2"]


def test_what_fails_later_stands_behind_the_elements(story, call):
    done = call("run", story, "-p", "story", "-i", "topic=bad", "--outputs", "word", "--format", "json")
    assert done.code == 4
    *words, error = records(done.out)
    assert [r["outputs"]["word"] for r in words] == ["bad0", "bad1"]
    assert (error["part"], error["error"]["message"]) == (2, "stage `write` raised ValueError: no third word")


def test_streams_go_to_lines_of_json_only(story, call, folder):
    arguments = ("run", story, "-p", "story", "-i", "topic=a", "--output")
    done = call(*arguments, folder / "out.npz")
    assert done.code != 0
    assert "can not hold `word`, which is a stream" in done.err
    assert call(*arguments, folder / "out.jsonl").code == 0
    assert len(records((folder / "out.jsonl").read_text())) == 5
    assert call(*arguments, folder / "out.npz", "--outputs", "words").code == 0


def test_a_warm_up_reads_streams(story, call):
    done = call("run", story, "-p", "story", "-i", "topic=a", "--warmup", "3", "--outputs", "word")
    assert done.code == 0
    assert "1 answer in" in done.out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_a_stream(story, spawn, number):
    process = spawn("run", story, "-p", "story", "-i", "topic=a", "-i", "n=-1", "--outputs", "word", "--format", "json")
    for i in range(3):
        assert json.loads(process.stdout.readline())["outputs"]["word"] == f"a{i}"
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 128 + number, err
    assert json.loads(out.splitlines()[-1])["error"]["code"] == "CANCELLED"
    assert "interrupted" in err
    assert "Traceback" not in err
