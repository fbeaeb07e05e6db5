"""`ElementStream`: order, bounds, credit, ends, readers of every kind; the same as a naive model under any calls."""

import asyncio
import gc
import threading

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from backends.streams import EMPTY, END, ElementStream

PATIENCE = 10.0


def filled(count, **options):
    stream = ElementStream(**options)
    reader = stream.reader()
    for i in range(count):
        stream.put(i, 1)
    return stream, reader


# ---- one reader


def test_elements_come_in_order_and_then_the_end():
    stream, reader = filled(3)
    stream.end()
    assert list(reader) == [0, 1, 2]
    assert reader.poll() is END


def test_nothing_is_there_before_the_first_element():
    stream, reader = filled(0)
    assert reader.poll() is EMPTY
    stream.put("a", 1)
    assert reader.poll() == "a"
    assert reader.poll() is EMPTY


def test_an_error_comes_behind_the_elements_before_it():
    stream, reader = filled(2)
    stream.fail(ValueError("broken"))
    assert reader.take() == [0, 1]
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"):
            reader.poll()


def test_what_is_dropped_is_never_taken_for_the_end():
    for ended in (False, True):
        stream, reader = filled(2)
        if ended:
            stream.end()
        stream.fail(ValueError("cancelled"), drop=True)
        assert stream.waiting == 0
        with pytest.raises(ValueError, match="cancelled"):
            reader.poll()


def test_a_later_end_changes_nothing():
    stream, reader = filled(1)
    stream.end()
    stream.fail(ValueError("too late"))
    assert not stream.put(1, 1)
    assert list(reader) == [0]


# ---- credit


def test_credit_ends_at_the_bound_and_comes_back_at_half():
    stream = ElementStream(elements=4)
    reader = stream.reader()
    assert [stream.put(i, 1) for i in range(4)] == [True, True, True, False]
    woken = []
    stream.when_credit(lambda: woken.append(stream.waiting))
    reader.poll()
    assert woken == []
    reader.poll()
    assert woken == [2]


def test_credit_counts_bytes_too_and_one_large_element_is_fine():
    stream = ElementStream(nbytes=100)
    reader = stream.reader()
    assert stream.put("small", 60)
    assert not stream.put("large", 1000)
    reader.poll()
    assert not stream.credit
    reader.poll()
    assert stream.credit


def test_the_slowest_reader_holds_the_producer():
    stream = ElementStream(elements=2)
    fast, slow = stream.reader(), stream.reader()
    stream.put(0, 1)
    assert not stream.put(1, 1)
    assert fast.take() == [0, 1]
    assert not stream.credit
    slow.close()
    assert stream.credit
    assert stream.waiting == 0


def test_without_readers_elements_are_forgotten_and_credit_stays():
    stream = ElementStream(elements=1)
    assert stream.put(0, 1)
    assert stream.put(1, 1)
    assert (stream.waiting, stream.count) == (0, 2)


def test_a_producer_that_waits_is_told_when_the_last_reader_goes():
    stream = ElementStream(elements=1)
    reader = stream.reader()
    stream.put(0, 1)
    woken = []
    stream.when_credit(lambda: woken.append(stream.readers))
    reader.close()
    reader.close()
    assert woken == [0]


def test_a_producer_may_wait_for_the_last_reader_to_go():
    stream = ElementStream()
    readers = [stream.reader(), stream.reader()]
    gone = []
    stream.when_unread(lambda: gone.append("both"))
    readers[0].close()
    assert gone == []
    readers[1].close()
    stream.when_unread(lambda: gone.append("at once"))
    assert gone == ["both", "at once"]


def test_a_reader_that_nobody_holds_is_closed_on_another_thread():
    later = []
    stream = ElementStream(elements=1, later=later.append)
    reader = stream.reader()
    stream.put(0, 1)
    del reader
    gc.collect()
    assert stream.readers == 1
    later.pop()()
    assert stream.readers == 0
    assert stream.waiting == 0


# ---- several readers


def test_a_fork_begins_where_its_reader_is():
    _, reader = filled(3)
    reader.poll()
    fork = reader.fork()
    assert reader.take() == [1, 2]
    assert fork.take() == [1, 2]


def test_a_stream_of_known_elements_has_ended():
    stream = ElementStream.of([("a", 1), ("b", 1)])
    assert list(stream.reader()) == ["a", "b"]
    assert list(ElementStream.of([]).reader()) == []


# ---- waiting


def test_a_thread_waits_for_elements_and_for_the_end():
    stream, reader = filled(0)
    got = []
    thread = threading.Thread(target=lambda: got.extend(reader))
    thread.start()
    for i in range(100):
        stream.put(i, 1)
    stream.end()
    thread.join(PATIENCE)
    assert got == list(range(100))


def test_an_event_loop_waits_without_a_thread():
    async def main():
        stream, reader = filled(0)
        producer = threading.Thread(target=lambda: ([stream.put(i, 1) for i in range(100)], stream.end()))
        before = threading.active_count()
        task = asyncio.create_task(_all(reader))
        await asyncio.sleep(0)
        assert threading.active_count() == before
        producer.start()
        found = await asyncio.wait_for(task, PATIENCE)
        producer.join(PATIENCE)
        return found

    assert asyncio.run(main()) == list(range(100))


async def _all(reader):
    return [element async for element in reader]


def test_a_loop_that_is_closed_is_not_woken():
    stream, reader = filled(0)
    loop = asyncio.new_event_loop()
    task = loop.create_task(reader.__anext__())
    loop.call_soon(loop.stop)
    loop.run_forever()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(task)
    loop.close()
    stream.put(0, 1)
    assert reader.poll() == 0


def test_callbacks_come_once_and_at_once_where_something_is_there():
    stream, reader = filled(1)
    calls = []
    reader.when_ready(lambda: calls.append("now"))
    reader.poll()
    reader.when_ready(lambda: calls.append("replaced"))
    reader.when_ready(lambda: calls.append("later"))
    stream.put(1, 1)
    stream.put(2, 1)
    assert calls == ["now", "later"]
    stream.when_ended(lambda error: calls.append(error))
    stream.end()
    stream.when_ended(lambda error: calls.append(error))
    assert calls == ["now", "later", None, None]


def test_who_waits_for_the_first_element_is_told_once():
    told = []
    begun, ended, failed = ElementStream(), ElementStream(), ElementStream()
    for stream in (begun, ended, failed):
        stream.when_begun(told.append)
    begun.put(0, 1)
    begun.fail(ValueError("later"))
    begun.when_begun(told.append)
    ended.end()
    failed.fail(error := ValueError("first"))
    failed.when_begun(told.append)
    assert told == [None, None, None, error, error]


def test_closing_a_reader_ends_its_loop():
    _, reader = filled(3)
    reader.close()
    assert list(reader) == []
    assert reader.exhausted


# ---- any order of calls


class Model(RuleBasedStateMachine):
    """Against lists: each reader has had a prefix of what was put since it began, and no more waits than the bound."""

    BOUND = 3

    def __init__(self):
        super().__init__()
        self.stream = ElementStream(elements=self.BOUND, nbytes=50)
        self.put = []
        self.state = None
        self.readers = []
        self.woken = 0
        self.armed = 0

    @precondition(lambda self: self.stream.credit and self.state is None)
    @rule(size=st.integers(0, 60))
    def produce(self, size):
        more = self.stream.put(len(self.put), size)
        self.put.append(size)
        assert more == self.stream.credit

    @rule()
    def open(self):
        first = len(self.put) - self.stream.waiting
        self.readers.append([self.stream.reader(), first, True])

    @precondition(lambda self: self.readers)
    @rule(data=st.data())
    def fork(self, data):
        reader, at, is_open = data.draw(st.sampled_from(self.readers))
        if is_open:
            self.readers.append([reader.fork(), at, True])

    @precondition(lambda self: self.readers)
    @rule(data=st.data(), most=st.integers(1, 5))
    def read(self, data, most):
        entry = data.draw(st.sampled_from(self.readers))
        reader, at, is_open = entry
        if not is_open:
            assert reader.poll() is END
            return
        if at == len(self.put) and self.state == "failed":
            with pytest.raises(KeyError):
                reader.take(most)
            return
        found = reader.take(most)
        assert found == list(range(at, min(at + most, len(self.put))))
        entry[1] += len(found)
        assert reader.exhausted == (self.state is not None and entry[1] == len(self.put))

    @precondition(lambda self: self.readers)
    @rule(data=st.data())
    def close(self, data):
        entry = data.draw(st.sampled_from(self.readers))
        entry[0].close()
        entry[2] = False

    @precondition(lambda self: self.state is None and self.armed == self.woken)
    @rule()
    def wait_for_credit(self):
        self.armed += 1
        had = self.stream.credit
        self.stream.when_credit(self._wake)
        assert (self.armed == self.woken) == had

    def _wake(self):
        assert self.stream.credit
        self.woken += 1

    @precondition(lambda self: self.state is None)
    @rule(failed=st.booleans())
    def finish(self, failed):
        self.state = "failed" if failed else "ended"
        self.armed = self.woken
        self.stream.fail(KeyError("model")) if failed else self.stream.end()

    @invariant()
    def bounded(self):
        positions = [at for _, at, is_open in self.readers if is_open]
        assert self.stream.waiting == len(self.put) - min(positions, default=len(self.put))
        assert self.stream.waiting <= self.BOUND
        assert self.stream.readers == len(positions)
        if not self.stream.credit:
            low = self.stream.waiting <= self.BOUND // 2 and sum(self.put[min(positions) :]) <= 25
            assert not low


TestAgainstAModel = Model.TestCase
TestAgainstAModel.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
