"""Object stores, as fsspec opens them: what is below a URL, and a copy of it in a folder of this machine.

    URL --listing--> Listing (names, sizes, stamps) --copy--> files below a new folder

Only what the listing names is copied, and a name that would lead out of the folder refuses the whole store. Credentials
come from fsspec's own configuration and the libraries below it, never from a URL; messages hold no query of a URL and
no text of those libraries, which may quote either.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from .sources import SourceError

LIMIT = 16 * 2**30
"""Bytes of one store at most, unless it is told otherwise."""
MAX_FILES = 10_000
CHUNK = 2**20
_STAMPS = (
    "ETag",
    "etag",
    "md5Hash",
    "generation",
    "LastModified",
    "last_modified",
    "mtime",
    "updated",
    "created",
    "CRC",
)
"""What stores say of a file that changes when its content does."""
_PASSWORD = re.compile(r"://[^@/]*:[^@]*@")


def is_url(path: str) -> bool:
    """Whether a path names a store rather than a file: `s3://..`, `zip::..`."""
    return "://" in path or "::" in path


def shown(url: str) -> str:
    """A URL as messages may show it: without a password or a query."""
    parts = [_PASSWORD.sub("://", part) for part in url.split("::")]
    return "::".join(part.partition("?")[0] for part in parts)


class Entry(NamedTuple):
    """One file of a store."""

    path: str
    """As the store calls it."""
    name: str
    """Below the root, with slashes."""
    size: int | None
    stamp: str


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a store at one moment; equal listings have equal content, as far as a store tells."""

    entries: tuple[Entry, ...]

    @property
    def bytes(self) -> int:
        return sum(entry.size or 0 for entry in self.entries)


class Store:
    """What is below one URL. A URL of a `.pipe` file stands for its folder, of which only that file is served."""

    def __init__(self, url: str, limit: int = LIMIT) -> None:
        """SourceError for a URL that has a password in it."""
        self.url = shown(url)
        self.limit = limit
        if _PASSWORD.search(url):
            text = "a password has no place in a URL; fsspec reads credentials from its own configuration"
            raise SourceError(f"{self.url}: {text}")
        self._url = url
        self.file = ""
        """The one `.pipe` file to serve; all of them without it."""
        last = url.rpartition("/")[2]
        if last.endswith(".pipe") and "::" not in last:
            self.file = last
            self._url = url[: -len(last) - 1]
            self.url = self.url[: -len(last) - 1]

    def listing(self) -> Listing:
        """What is there now, asked anew. SourceError if it can not be listed, or not all of it may be copied."""
        found: Listing = self._guarded(self._list)
        return found

    def _list(self) -> Listing:
        fs, root = self._open()
        entries = [_entry(root, path, info) for path, info in fs.find(root, detail=True).items()]
        found = Listing(tuple(sorted(entry for entry in entries if entry is not None)))
        if not found.entries:
            raise SourceError("there are no files")
        if len(found.entries) > MAX_FILES:
            raise SourceError(f"there are {len(found.entries)} files, more than {MAX_FILES}; serve a folder below it")
        self._check_size(found.bytes)
        return found

    def copy(self, listing: Listing, folder: Path, stop: threading.Event | None = None) -> None:
        """Write the files of a listing below a folder, which must be new and empty. SourceError says why not, or that
        it was told to stop."""
        self._guarded(lambda: self._copy(listing, folder, stop or threading.Event()))

    def _copy(self, listing: Listing, folder: Path, stop: threading.Event) -> None:
        fs, _ = self._open()
        written = 0
        for entry in listing.entries:
            target = folder.joinpath(*PurePosixPath(entry.name).parts)
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                written += self._copy_one(fs, entry, target, written, stop)
            except FileNotFoundError:
                raise SourceError(f"`{entry.name}` went away while it was copied") from None
            except (FileExistsError, NotADirectoryError, IsADirectoryError):
                raise SourceError(f"`{entry.name}` is a file and a folder, which no file system holds") from None

    def _copy_one(self, fs: Any, entry: Entry, target: Path, before: int, stop: threading.Event) -> int:
        """Its size, which is counted as it comes: what a store says of it may be wrong."""
        size = 0
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with fs.open(entry.path, "rb") as source, os.fdopen(os.open(target, flags, 0o600), "wb") as out:
            while chunk := source.read(CHUNK):
                if stop.is_set():
                    raise SourceError("the server ends")
                size += len(chunk)
                self._check_size(before + size)
                out.write(chunk)
        if entry.size is not None and size != entry.size:
            raise SourceError(f"`{entry.name}` has {size} bytes and was listed with {entry.size}: it changed meanwhile")
        return size

    def _check_size(self, size: int) -> None:
        if size > self.limit:
            text = f"it has more than {self.limit} bytes; --store-limit allows more"
            raise SourceError(text)

    def _open(self) -> tuple[Any, str]:
        """A file system of its own, without what an earlier one remembers of the store, and the root's path in it."""
        import fsspec.core

        fresh = {"skip_instance_cache": True}
        protocols = {part.partition("://")[0] for part in self._url.split("::")}
        fs, root = fsspec.core.url_to_fs(self._url, **{protocol: dict(fresh) for protocol in protocols})
        fs.invalidate_cache()
        return fs, root.rstrip("/") + "/" if root.rstrip("/") or fs.root_marker == "/" else ""

    def _guarded(self, call: Callable[[], Any]) -> Any:
        """What the call gives; whatever goes wrong in libraries below is a SourceError that quotes none of them."""
        try:
            return call()
        except SourceError as error:
            raise SourceError(f"{self.url}: {error}") from None
        except Exception as error:
            raise SourceError(f"{self.url}: {self._reason(error)}") from None

    def _reason(self, error: Exception) -> str:
        if isinstance(error, FileNotFoundError):
            return "there is nothing of that name"
        if isinstance(error, PermissionError):
            return "access is refused; credentials come from fsspec's configuration or the environment"
        if isinstance(error, ImportError):
            return self._missing()
        if isinstance(error, ValueError) and str(error).startswith("Protocol not known"):
            return "fsspec knows no such protocol; s3://, gs://, az://, file:// and memory:// are some"
        where = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
        return f"it can not be read: {type(error).__name__}{where}"

    def _missing(self) -> str:
        """Which package brings a protocol that is not installed."""
        try:
            from fsspec.registry import known_implementations
        except ImportError:
            return "stores need fsspec; pip install 'pipectl[serve]'"
        protocol = self._url.split("::")[-1].partition("://")[0]
        hint = known_implementations.get(protocol, {}).get("err", "")
        return f"`{protocol}://` needs a package that is not installed" + (f": {hint}" if hint else "")


def _entry(root: str, path: str, info: Mapping[str, Any]) -> Entry | None:
    """A file of a listing; None for what stands for a folder. SourceError for a name that must not be written."""
    name = path[len(root) :] if path.startswith(root) else path
    if info.get("type", "file") == "directory" or (name.endswith("/") and not info.get("size")):
        return None
    parts = name.split("/")
    if not path.startswith(root) or not all(parts) or any(part in (".", "..") for part in parts):
        raise SourceError(f"the name {_quoted(name)} leads out of the folder it would be copied to")
    if not name.isprintable() or "\\" in name:
        raise SourceError(f"the name {_quoted(name)} has characters that no file should have")
    size = info.get("size")
    stamp = repr([repr(info[key]) for key in _STAMPS if info.get(key) is not None])
    return Entry(path, name, size if isinstance(size, int) else None, stamp)


def _quoted(name: str) -> str:
    return repr(name if len(name) <= 80 else name[:77] + "...")
