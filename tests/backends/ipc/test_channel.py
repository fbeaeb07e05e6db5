"""Messages and descriptors over a socket pair."""

import os
import socket
import struct
import threading

import pytest

from backends.ipc.channel import Channel, Closed


@pytest.fixture
def ends():
    pair = [Channel(sock) for sock in socket.socketpair()]
    yield pair
    for end in pair:
        end.close()


@pytest.mark.parametrize("size", [0, 1, 65_531, 65_532, 65_533, 5_000_000])
def test_messages_of_any_length_arrive(ends, size):
    message = os.urandom(size)
    sender = threading.Thread(target=ends[0].send, args=(message,))
    sender.start()
    received, fds = ends[1].receive()
    sender.join()
    assert bytes(received) == message
    assert fds == []


def test_descriptors_arrive_with_their_message(ends):
    files = [os.memfd_create(f"f{i}") for i in range(3)]
    for i, fd in enumerate(files):
        os.write(fd, bytes([i]))
    ends[0].send(b"three", files)
    message, received = ends[1].receive()
    assert bytes(message) == b"three"
    assert [os.pread(fd, 1, 0)[0] for fd in received] == [0, 1, 2]
    assert not any(os.get_inheritable(fd) for fd in received)
    for fd in files + received:
        os.close(fd)


def test_the_end_of_the_other_side_is_closed(ends):
    ends[0].close()
    with pytest.raises(Closed):
        ends[1].receive()
    with pytest.raises(Closed):
        ends[1].send(b"x")


@pytest.mark.parametrize("raw", [b"\x05\x00", struct.pack("<I", 9) + b"four", struct.pack("<I", 2**31)])
def test_broken_messages_are_closed_and_leave_no_descriptor(raw):
    left, right = socket.socketpair()
    fd = os.memfd_create("x")
    socket.send_fds(left, [raw], [fd])
    os.close(fd)
    left.close()
    channel = Channel(right)
    with pytest.raises(Closed):
        channel.receive()
    channel.close()
