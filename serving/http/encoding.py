"""Bodies compressed with gzip or deflate, both ways.

A request's body is decompressed up to its limit and no further, so that a small one can not become a large one.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable

from serving.errors import InvalidArgument, RequestError, TooLarge

WBITS = {"gzip": 31, "deflate": 15}
LEAST = 1024
"""Bytes of an answer below which compressing does not pay."""
LEVEL = 1
"""Of compression: tensors hardly shrink more at higher ones."""


class UnknownEncoding(RequestError):
    """A body in an encoding that is not offered."""

    grpc_code = "UNIMPLEMENTED"
    http_status = 415
    reason = "REJECTED"


def decompressed(body: bytes, encoding: str, limit: int) -> bytes:
    """A request's body. TooLarge past the limit, InvalidArgument for data that is not what it claims to be."""
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return body
    if name not in WBITS:
        raise UnknownEncoding(f"content-encoding {name[:40]!r} is not known; gzip, deflate")
    found = bytearray()
    rest: bytes = body
    try:
        while True:
            inflater = zlib.decompressobj(WBITS[name])
            found += inflater.decompress(rest, limit + 1 - len(found))
            if len(found) > limit:
                raise TooLarge(f"the body is larger than {limit} bytes once it is decompressed")
            if not inflater.eof:
                raise InvalidArgument(f"the body is no complete {name} data")
            rest = inflater.unused_data
            if not rest:
                return bytes(found)
            if name != "gzip":
                raise InvalidArgument(f"{len(rest)} bytes are left over behind the {name} data")
    except zlib.error as error:
        raise InvalidArgument(f"the body is no {name} data: {error}") from None


def accepted(header: str) -> str:
    """The encoding to answer with: the first of gzip and deflate that a client takes; "" for none."""
    offers: dict[str, str] = {}
    for offer in header.lower().split(","):
        name, _, weight = offer.partition(";")
        offers[name.strip()] = weight.replace(" ", "")
    return next((name for name in WBITS if name in offers and not _NEVER.fullmatch(offers[name])), "")


_NEVER = re.compile(r"q=0(\.0*)?")


def compressed(pieces: Iterable[bytes | memoryview], name: str) -> bytes:
    """An answer's body."""
    deflater = zlib.compressobj(LEVEL, wbits=WBITS[name])
    return b"".join([*(deflater.compress(piece) for piece in pieces), deflater.flush()])
