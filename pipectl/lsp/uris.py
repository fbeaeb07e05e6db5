"""URIs of documents <-> paths of sources. What is no file goes by its URI."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname


def to_path(uri: str) -> str:
    """The normalized path of a file, or the URI of anything else: `untitled:Untitled-1`."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return uri
    if parts.scheme != "file":
        return uri
    # `urlsplit` takes `?` and `#` off; in a path they are escaped, so what is split off was never part of it.
    path = url2pathname(parts.path) if os.name == "nt" else unquote(parts.path)
    host = f"//{parts.netloc}" if parts.netloc and parts.netloc != "localhost" else ""
    return os.path.normpath(host + path)


def to_uri(path: str) -> str:
    """The URI of a path; relative ones start at the current folder."""
    if "://" in path or path.startswith("untitled:"):
        return path
    return Path(os.path.abspath(path)).as_uri()
