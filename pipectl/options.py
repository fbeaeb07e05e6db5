"""Options that several commands share, and the types of their values."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from executor.sequence import SequenceInfo

Command = TypeVar("Command", bound=Callable[..., Any])

pipe_file = click.argument("file", type=click.Path(dir_okay=False), metavar="FILE")


def schedule(command: Command) -> Command:
    """`--profile` and `--set`, which say how a file is compiled."""
    command = click.option(
        "--set",
        "params",
        multiple=True,
        metavar="NAME=VALUE",
        callback=_params,
        help="Set a param; goes before environment and profile.",
    )(command)
    return click.option("--profile", metavar="NAME", help="The profile to use.")(command)


def device(command: Command) -> Command:
    """`--device`, which goes before what profiles say of devices; "" where it is not given."""
    return click.option(
        "--device",
        type=click.Choice(("cpu", "cuda", "sim")),
        callback=lambda _, __, value: value or "",
        help="Where stages run, whatever the profile says: the host, the GPUs, or a simulated GPU, which is for tests.",
    )(command)


def serial(command: Command) -> Command:
    """`--serial`, for finding out whether a wrong answer comes from the order of work on a device."""
    return click.option(
        "--serial", is_flag=True, help="One stream on each GPU, and wait for it after each stage; for debugging."
    )(command)


def _params(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    params = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"`{value}` is not NAME=VALUE", context, option)
        params[name] = text
    return params


def names(_: click.Context, __: click.Parameter, value: str | None) -> list[str] | None:
    """Callback of an option that takes names with commas between them."""
    return [name.strip() for name in value.split(",") if name.strip()] if value else None


_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "": 1.0}


def seconds(context: click.Context, option: click.Parameter, value: str | None) -> float | None:
    """Callback of an option that takes a duration: `0.2`, `200ms`, `1.5s`, `2min`."""
    if value is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(us|ms|s|min|h|)", value)
    if not found or not float(found[1]):
        raise click.BadParameter(f"`{value}` is no duration; write 0.2, 200ms or 2min", context, option)
    return float(found[1]) * _UNITS[found[2]]


def sequence(context: click.Context, option: click.Parameter, value: str | None) -> SequenceInfo | None:
    """Callback of an option that takes a sequence: `7`, `id=7,start`, `caller-a,end`. Without flags: a whole one."""
    if value is None:
        return None
    from executor.sequence import SequenceInfo

    name, *flags = value.split(",")
    text = name.removeprefix("id=").strip()
    unknown = next((flag for flag in flags if flag.strip() not in ("start", "end")), None)
    if not text or unknown is not None:
        raise click.BadParameter(f"`{value}` is not ID[,start][,end]", context, option)
    said = {flag.strip() for flag in flags} or {"start", "end"}
    return SequenceInfo(int(text) if text.isdecimal() else text, "start" in said, "end" in said)


def milliseconds(context: click.Context, option: click.Parameter, value: str | None) -> int | None:
    """Callback of an option that takes a duration, for what counts in whole milliseconds."""
    found = seconds(context, option, value)
    return None if found is None else max(1, round(found * 1000))


_SIZES = {"": 1, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "KB": 10**3, "MB": 10**6, "GB": 10**9}


def size(context: click.Context, option: click.Parameter, value: str) -> int:
    """Callback of an option that takes bytes: `64MiB`, `2GB`, `100000`."""
    found = re.fullmatch(r"(\d+)([KMG]i?B|B|)", value)
    if not found or not int(found[1]):
        raise click.BadParameter(f"`{value}` is no size; write 64MiB or 100000", context, option)
    return int(found[1]) * _SIZES[found[2]]


def address(context: click.Context, option: click.Parameter, value: str) -> str:
    """Callback of an option that takes HOST:PORT; port 0 is any that is free. "" for `none`."""
    if value == "none":
        return ""
    host, colon, port = value.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535 or (":" in host and not host.startswith("[")):
        raise click.BadParameter(f"`{value}` is not HOST:PORT; write 127.0.0.1:8001 or [::1]:8001", context, option)
    return value


def the_one(file: str, names: Sequence[str], wanted: str | None) -> str:
    """The pipeline of that name, or the only one there is. UsageError that lists them otherwise."""
    if not names:
        raise click.UsageError(f"`{file}` has no public pipeline")
    if wanted is None and len(names) > 1:
        raise click.UsageError(f"`{file}` has several pipelines; choose with -p: {', '.join(names)}")
    if wanted is not None and wanted not in names:
        raise click.UsageError(f"`{file}` has no pipeline `{wanted}`, but {', '.join(names)}")
    return wanted or names[0]
