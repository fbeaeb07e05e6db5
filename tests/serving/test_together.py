"""Writes of one response are one write, and none is kept back."""

import asyncio
from typing import Any

from serving.http.together import Together


class Wire:
    """A transport that remembers."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def writelines(self, data: list[bytes]) -> None:
        self.seen.append(list(data))

    def close(self) -> None:
        self.seen.append("closed")

    def is_closing(self) -> bool:
        return self.seen[-1:] == ["closed"]


def made() -> tuple[Together, list[Any]]:
    wire = Wire()
    return Together(wire, asyncio.get_running_loop()), wire.seen  # type: ignore[arg-type]  # all of it that is used


def test_head_and_body_are_one_write() -> None:
    async def main() -> None:
        together, seen = made()
        together.write(b"head")
        together.write(b"body")
        assert seen == []
        together.flush()
        assert seen == [[b"head", b"body"]]
        await asyncio.sleep(0)
        assert len(seen) == 1, "what was due later has left"

    asyncio.run(main())


def test_the_parts_of_a_stream_leave_in_the_next_turn() -> None:
    async def main() -> None:
        together, seen = made()
        for part in (b"head", b"event"):
            together.write(part)
            await asyncio.sleep(0)
        assert seen == [[b"head"], [b"event"]]

    asyncio.run(main())


def test_closing_keeps_nothing_back() -> None:
    async def main() -> None:
        together, seen = made()
        together.write(b"last")
        together.close()
        together.flush()
        assert seen == [[b"last"], "closed"]

    asyncio.run(main())


def test_what_comes_after_the_client_left_is_dropped() -> None:
    async def main() -> None:
        wire = Wire()
        together = Together(wire, asyncio.get_running_loop())  # type: ignore[arg-type]  # all of it that is used
        together.write(b"late")
        wire.close()
        assert together.is_closing()
        await asyncio.sleep(0)
        assert wire.seen == ["closed"]

    asyncio.run(main())
