"""Stores that fsspec opens: what is listed and copied, names that lead elsewhere, and what messages never hold."""

from __future__ import annotations

import threading
import zipfile
from pathlib import Path

import pytest

from serving.sources import SourceError
from serving.stores import CHUNK, Store, is_url, shown

from .memory_store import lie, memory


def files(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}


def copied(url: str, folder: Path, limit: int = 2**20) -> dict[str, str]:
    store = Store(url, limit)
    folder.mkdir()
    store.copy(store.listing(), folder)
    return files(folder)


TREE = {"a.pipe": "a", "b/1/b.pipe": "b1", "b/2/models/m.bin": "x" * 10}


def test_a_store_in_memory(tmp_path: Path) -> None:
    with memory() as store:
        for name, text in TREE.items():
            store.write(name, text)
        assert copied(store.url, tmp_path / "copy") == TREE
        assert copied(f"{store.url}/b", tmp_path / "part") == {"1/b.pipe": "b1", "2/models/m.bin": "x" * 10}


def test_a_folder_as_a_url(tmp_path: Path) -> None:
    for name, text in TREE.items():
        path = tmp_path / "there" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert copied(f"file://{tmp_path}/there", tmp_path / "copy") == TREE
    assert copied(f"file://{tmp_path}/there/", tmp_path / "again") == TREE


def packed(path: Path, names: dict[str, str]) -> str:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in names.items():
            archive.writestr(name, text)
    return f"zip::file://{path}"


def test_an_archive(tmp_path: Path) -> None:
    url = packed(tmp_path / "all.zip", {**TREE, "empty/": ""})
    assert copied(url, tmp_path / "copy") == TREE
    assert copied(f"zip://b::file://{tmp_path}/all.zip", tmp_path / "part") == {
        "1/b.pipe": "b1",
        "2/models/m.bin": "x" * 10,
    }


def test_an_archive_that_was_replaced_is_read_anew(tmp_path: Path) -> None:
    url = packed(tmp_path / "all.zip", {"a.pipe": "one"})
    before = Store(url).listing()
    assert copied(url, tmp_path / "copy") == {"a.pipe": "one"}
    packed(tmp_path / "all.zip", {"a.pipe": "two"})
    assert Store(url).listing() != before
    assert copied(url, tmp_path / "again") == {"a.pipe": "two"}


def test_a_url_of_one_file_stands_for_its_folder(tmp_path: Path) -> None:
    with memory() as made:
        for name, text in TREE.items():
            made.write(name, text)
        store = Store(f"{made.url}/a.pipe")
        assert (store.file, store.url) == ("a.pipe", made.url)
        assert [entry.name for entry in store.listing().entries] == sorted(TREE)


def test_listings_tell_changes() -> None:
    with memory() as made:
        made.write("a.pipe", "one")
        store = Store(made.url)
        first = store.listing()
        assert store.listing() == first
        made.write("a.pipe", "two")
        assert store.listing() != first


# ---- names


@pytest.mark.parametrize("name", ["../evil.pipe", "/etc/evil.pipe", "a/../../evil.pipe", "a/./b", "a//b", "a/.."])
def test_names_that_lead_out_refuse_an_archive(tmp_path: Path, name: str) -> None:
    url = packed(tmp_path / "all.zip", {"a.pipe": "a", name: "evil"})
    with pytest.raises(SourceError, match="leads out of the folder"):
        copied(url, tmp_path / "inner")
    assert files(tmp_path / "inner") == {}
    assert not (tmp_path / "evil.pipe").exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../evil", "leads out"),
        ("/evil", "leads out"),
        ("a/../../evil", "leads out"),
        ("..", "leads out"),
        ("a\0b", "characters"),
        ("a\nb", "characters"),
        ("..\\evil", "characters"),
        ("\u202etxt.pipe", "characters"),
    ],
)
def test_names_of_a_hostile_store(name: str, words: str) -> None:
    with pytest.raises(SourceError, match=words) as caught:
        Store(lie({name: 1})).listing()
    assert str(caught.value).isprintable()


def test_a_name_outside_of_the_root() -> None:
    url = lie({})
    from .memory_store import Lying

    Lying.files = {"elsewhere/a.pipe": {"name": "elsewhere/a.pipe", "size": 1, "type": "file"}}
    with pytest.raises(SourceError, match="leads out"):
        Store(url).listing()


def test_a_file_that_is_a_folder_too(tmp_path: Path) -> None:
    url = lie({"a": 1, "a/b": 1}, {"a": b"1", "a/b": b"1"})
    with pytest.raises(SourceError, match="is a file and a folder"):
        copied(url, tmp_path / "copy")


# ---- limits and failures


def test_a_store_that_is_too_large(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"more than 100 bytes; --store-limit"):
        Store(lie({"a.pipe": 60, "b.pipe": 60}), 100).listing()


@pytest.mark.parametrize("listed", [None, 5])
def test_a_file_that_is_larger_than_listed(tmp_path: Path, listed: int | None) -> None:
    """What comes is counted, not what was said: an archive may promise little and unpack to much."""
    with pytest.raises(SourceError, match="more than 100 bytes"):
        copied(lie({"a.pipe": listed}, {"a.pipe": b"x" * 101}), tmp_path / "copy", 100)


def test_a_file_that_changes_while_it_is_copied(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"`a\.pipe` has 3 bytes and was listed with 5"):
        copied(lie({"a.pipe": 5}, {"a.pipe": b"123"}), tmp_path / "copy")


def test_too_many_files() -> None:
    with pytest.raises(SourceError, match="10001 files, more than 10000"):
        Store(lie({f"{i}.pipe": 1 for i in range(10_001)})).listing()


def test_a_copy_stops_when_the_server_does(tmp_path: Path) -> None:
    store = Store(lie({"a.pipe": 2 * CHUNK}, {"a.pipe": bytes(2 * CHUNK)}))
    stop = threading.Event()
    stop.set()
    with pytest.raises(SourceError, match="the server ends"):
        store.copy(store.listing(), tmp_path, stop)
    assert (tmp_path / "a.pipe").stat().st_size == 0


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (FileNotFoundError("key SECRET"), "went away while it was copied"),
        (PermissionError("key SECRET"), "access is refused; credentials come from"),
        (RuntimeError("https://host?sig=SECRET"), "can not be read: RuntimeError"),
        (OSError(5, "Input/output error"), r"OSError \(Input/output error\)"),
    ],
)
def test_a_store_that_fails_halfway_quotes_nothing(tmp_path: Path, error: Exception, words: str) -> None:
    url = lie({"a.pipe": 1, "b.pipe": 1}, {"a.pipe": b"1", "b.pipe": error})
    with pytest.raises(SourceError, match=words) as caught:
        copied(url, tmp_path / "copy")
    assert "SECRET" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("memory://nothing-there", "there are no files"),
        ("zip::file:///nothing/there.zip", "there is nothing of that name"),
        ("nonsense://x", "fsspec knows no such protocol"),
        ("s3://key:SECRET@bucket/x", "a password has no place in a URL"),
        ("zip::ftp://me:SEC/RET@host/x.zip", "a password has no place in a URL"),
    ],
)
def test_urls_that_can_not_be_served(url: str, words: str) -> None:
    with pytest.raises(SourceError, match=words) as caught:
        Store(url).listing()
    assert "SECRET" not in str(caught.value).replace("/", "")


def test_a_protocol_whose_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(SourceError, match=r"^s3://bucket: `s3://` needs a package that is not installed: .*s3fs"):
        Store("s3://bucket").listing()


def test_what_is_a_url_and_how_it_is_shown() -> None:
    assert [is_url(p) for p in ("s3://b/x", "zip::a.zip", "a.pipe", "/srv/a", "./b")] == [
        True,
        True,
        False,
        False,
        False,
    ]
    assert shown("zip::https://host/a.zip?sig=SECRET#x") == "zip::https://host/a.zip"
    assert shown("s3://key:SECRET@bucket/x") == "s3://bucket/x"
    assert shown("abfs://box@account.host/x") == "abfs://box@account.host/x"
