"""`pipectl infer`: one request to a running server, its answer as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipectl.console import Exit, Session, common
from pipectl.options import names, seconds

if TYPE_CHECKING:
    from serving.client import Model

TOKEN = "PIPECTL_TOKEN"


@click.command("infer")
@click.argument("url")
@click.argument("pipeline")
@click.option("-i", "--input", "inputs", multiple=True, metavar="NAME=VALUE", help="A value, or @FILE.")
@click.option("--outputs", callback=names, metavar="NAME,..", help="Compute these outputs only.")
@click.option("--version", default="", metavar="N", help="Of the pipeline. [the latest]")
@click.option("--timeout", callback=seconds, default="60s", metavar="TIME", show_default=True)
@click.option("--root", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Authority to trust (PEM).")
@click.option("--no-retry", is_flag=True, help="Do not try again what a full server refused.")
@common
@click.pass_obj
def command(session: Session, /, url: str, pipeline: str, inputs: tuple[str, ...], **options: Any) -> Exit:
    """Ask a running server.

    Any that speaks the protocol v2 over gRPC, ours or another.

    \b
    pipectl infer localhost:8001 hello --input name=Ada
    pipectl infer grpcs://models.example:443 digits --input image=@scan.png

    A VALUE is text for BYTES tensors and JSON for others. @FILE gives a file's bytes, or an array from .npy; a text
    that starts with @ is written @@. A bearer token is taken from PIPECTL_TOKEN."""
    import os

    from serving.client import Client, ClientError

    address, secure = _address(url)
    root = options["root"].read_bytes() if options["root"] else None
    token = os.environ.get(TOKEN, "")
    timeout = options["timeout"]
    with Client(address, token=token, root=root, secure=secure, retries=not options["no_retry"]) as client:
        try:
            model = client.model(pipeline, options["version"], timeout)
            values = {name: _value(model, name, text) for name, text in map(_pair, inputs)}
            found = client.infer(
                model, values, version=options["version"], outputs=options["outputs"] or (), timeout=timeout
            )
        except ClientError as error:
            session.problem(f"{error.code}: {error}")
            return Exit.RUNTIME
    sys.stdout.write(json.dumps({name: _shown(value) for name, value in found.items()}, ensure_ascii=False) + "\n")
    return Exit.OK


def _address(url: str) -> tuple[str, bool]:
    """HOST:PORT of a URL, and whether it is secured."""
    scheme, found, address = url.partition("://")
    if not found:
        return url, False
    if scheme not in ("grpc", "grpcs"):
        raise click.BadParameter(f"`{url}`: write HOST:PORT, grpc://HOST:PORT or grpcs://HOST:PORT", param_hint="URL")
    return address.rstrip("/"), scheme == "grpcs"


def _pair(option: str) -> tuple[str, str]:
    name, equals, text = option.partition("=")
    if not equals or not name:
        raise click.BadParameter(f"`{option}` is not NAME=VALUE", param_hint="--input")
    return name, text


def _value(model: Model, name: str, text: str) -> Any:
    """What an option gives for an input. UsageError if it is nothing of that kind."""
    tensor = next((t for t in model.inputs if t.name == name), None)
    kind, single = ("", False) if tensor is None else (tensor.datatype, tensor.shape in ((), (1,)))
    if text.startswith("@") and not text.startswith("@@"):
        return _file(Path(text[1:]), name)
    text = text[1:] if text.startswith("@@") else text
    if kind == "BYTES" and (single or not text.startswith("[")):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise click.UsageError(f"input `{name}` takes JSON ({kind or 'unknown'}), found `{text[:40]}`") from None


def _file(path: Path, name: str) -> Any:
    try:
        if path.suffix == ".npy":
            import numpy as np

            return np.load(path, allow_pickle=False)
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise click.UsageError(f"input `{name}`: {path}: {error}") from None


def _shown(value: Any) -> Any:
    """An array as JSON: one item alone as itself, bytes as text where they are some."""
    items = value.tolist() if value.dtype.kind in "biufO" else value.astype("f4").tolist()
    plain = _texts(items)
    return plain[0] if value.shape == (1,) else plain


def _texts(item: Any) -> Any:
    if isinstance(item, list):
        return [_texts(one) for one in item]
    if isinstance(item, bytes):
        try:
            return item.decode()
        except UnicodeDecodeError:
            import base64

            return {"b64": base64.b64encode(item).decode()}
    return item
