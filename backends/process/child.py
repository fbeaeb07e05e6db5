"""The child's side: `python -m backends.process.child FD` loads one stage and answers batches until it is told to stop.

FD is its end of a socket pair. It ends when that closes, or, even inside a call that never returns, when its parent
dies. Everything runs on its main thread.
"""

from __future__ import annotations

import faulthandler
import gc
import importlib
import logging
import mmap
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

from backends.base import Backend, Batch, BatchResult, Instance, InstanceConfig
from backends.ipc.channel import Channel, Closed
from backends.ipc.encoded import Encoded
from backends.ipc.lifeline import die_with_parent, leave_signals_to_parent
from backends.ipc.plan_codec import decode_plan
from backends.ipc.segments import Arena, Attached
from backends.ipc.transfer import ValueReader, ValueWriter
from backends.values import Ragged, Value

from .faults import to_fault
from .messages import Done, Raised, Ready, Reply, Run, Start, Stop, Warmup, decode_request, encode


def main() -> None:
    """Serve the socket whose descriptor is the first argument."""
    die_with_parent()
    leave_signals_to_parent()
    faulthandler.enable()
    os.set_inheritable(fd := int(sys.argv[1]), False)
    channel = Channel(socket.socket(fileno=fd))
    try:
        _serve(channel)
    except Closed:
        return  # the parent is gone, and nobody is left to tell


def _serve(channel: Channel) -> None:
    data, fds = channel.receive()
    start = decode_request(data)
    assert isinstance(start, Start)
    control = mmap.mmap(fds[0], start.control.size, prot=mmap.PROT_READ)
    os.close(fds[0])
    stage = _load(channel, start, control)
    if stage is None:
        return
    gc.collect()
    gc.freeze()
    while stage.answer(channel):
        pass


def _load(channel: Channel, start: Start, control: mmap.mmap) -> _LoadedStage | None:
    """Load the stage and say so; None if it can not be loaded."""
    copies: list[tuple[int, str]] = []
    try:
        _take_over_paths(start)
        logging.basicConfig(level=start.log_level, format="%(levelname)s %(name)s: %(message)s")
        instance = _instance(start, lambda size, reason: copies.append((int(size), reason)))
        if start.warm:
            instance.warmup()
    except Exception as error:
        channel.send(encode(Raised(to_fault(error), copies)))
        return None
    channel.send(encode(Ready(copies)))
    copies.clear()
    return _LoadedStage(instance, control, copies)


def _take_over_paths(start: Start) -> None:
    """Find modules where the parent finds them; processes that the stage starts see the parent's environment."""
    sys.path[:] = start.path
    if start.python_path is None:
        os.environ.pop("PYTHONPATH", None)
    else:
        os.environ["PYTHONPATH"] = start.python_path


def _instance(start: Start, on_copy: Callable[[int, str], None]) -> Instance:
    stage = decode_plan(start.stage)
    module, _, function = start.loader.partition(":")
    load: Callable[[str], Backend] = getattr(importlib.import_module(module), function)
    config = InstanceConfig(start.index, start.device, start.threads, on_copy)
    return load(stage.backend).load(stage, config)


class _LoadedStage:
    """The instance, and the shared memory of both directions."""

    def __init__(self, instance: Instance, control: mmap.mmap, copies: list[tuple[int, str]]) -> None:
        self._instance = instance
        self._control = control
        self._copies = copies
        self._inputs = Attached(tracks=False)  # input regions end with the answer
        self._outputs = Arena()

    def answer(self, channel: Channel) -> bool:
        """Receive one request and answer it; False when told to stop."""
        data, fds = channel.receive()
        request = decode_request(data)
        self._copies.clear()
        match request:
            case Run():
                self._take_memory(request, fds)
                reply, opened = self._run(request)
            case Warmup():
                reply, opened = self._warm_up(), []
            case _:
                assert isinstance(request, Stop)
                self._instance.close()
                return False
        try:
            channel.send(encode(reply), opened)
        finally:
            for fd in opened:
                os.close(fd)
        return True

    def _take_memory(self, run: Run, fds: list[int]) -> None:
        self._inputs.attach(run.opened, fds)
        self._inputs.detach(run.dropped)
        for region in run.freed:
            self._outputs.release(region)

    def _run(self, run: Run) -> tuple[Reply, list[int]]:
        """The answer, and the descriptors of new segments."""
        try:
            reader = ValueReader(self._inputs)
            inputs = tuple(self._read(reader, value) for value in run.inputs)
            result = self._instance.execute(self._batch(run, inputs))
            writer = ValueWriter(self._outputs, inputs)
            outputs = self._write(writer, result)
        except Exception as error:
            return Raised(to_fault(error), list(self._copies)), []
        if writer.written:
            self._copies.append((writer.written, "process"))
        failed = {int(row): to_fault(error) for row, error in result.failed.items()} if result.failed else None
        opened, dropped, fds = self._outputs.news()
        return Done(outputs, failed, list(self._copies), opened, dropped), fds

    def _read(self, reader: ValueReader, encoded: Encoded) -> Value:
        value = reader.read(encoded)
        if isinstance(value, Ragged):
            value.on_copy = lambda size: self._copies.append((int(size), "ragged"))
        return value

    def _write(self, writer: ValueWriter, result: BatchResult) -> list[Encoded]:
        try:
            return [writer.write(value) for value in result.outputs]
        except BaseException:
            writer.release()
            raise

    def _batch(self, run: Run, inputs: tuple[Any, ...]) -> Batch:
        return Batch(
            inputs,
            run.rows,
            run.sizes,
            run.request_ids,
            run.deadline_ns,
            cancelled=lambda: self._control[0] != 0,
            node=run.node,
        )

    def _warm_up(self) -> Reply:
        try:
            self._instance.warmup()
        except Exception as error:
            return Raised(to_fault(error), list(self._copies))
        return Ready(list(self._copies))


if __name__ == "__main__":
    main()
