"""`pipectl serve`: pipelines of files and folders to clients, until a signal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from pipectl.console import Exit, Session, common
from pipectl.options import address, device, milliseconds, schedule, seconds, serial, size
from pipectl.server_settings import Settings

Command = TypeVar("Command", bound=Callable[..., Any])


def _pattern(context: click.Context, option: click.Parameter, value: str) -> str:
    import re

    try:
        re.compile(value)
    except re.error as error:
        raise click.BadParameter(f"`{value}` is no regular expression: {error}", context, option) from None
    return value


class Place(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions only
    """A file or folder that is there, or the URL of a store."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> Path | str:
        from serving.stores import is_url

        if is_url(value):
            return str(value)
        path: Path = click.Path(exists=True, path_type=Path).convert(value, param, context)
        return path


_ADDRESS = "HOST:PORT|none"


def _options(command: Command, *options: Callable[[Command], Command]) -> Command:
    """The command with options that help lists in this order."""
    for option in reversed(options):
        command = option(command)
    return command


def _listening(command: Command) -> Command:
    """Where it listens, and who may come in."""
    file = click.Path(exists=True, dir_okay=False, path_type=Path)
    return _options(
        command,
        click.option("--grpc", default="127.0.0.1:8001", callback=address, metavar=_ADDRESS, show_default=True),
        click.option("--http", default="127.0.0.1:8000", callback=address, metavar=_ADDRESS, show_default=True),
        click.option("--metrics", default="127.0.0.1:8002", callback=address, metavar=_ADDRESS, show_default=True),
        click.option("--tokens", type=file, metavar="FILE", help="Bearer tokens and what each is for (TOML)."),
        click.option("--tls-cert", type=file, metavar="FILE", help="Certificate chain of the server (PEM)."),
        click.option("--tls-key", type=file, metavar="FILE", help="Its private key (PEM)."),
        click.option("--tls-clients", type=file, metavar="FILE", help="Only clients of this authority (PEM)."),
        click.option("--grpc-max-concurrent", type=click.IntRange(1), metavar="N", help="gRPC calls at a time."),
        click.option(
            "--max-message", default="64MiB", callback=size, metavar="SIZE", show_default=True, help="Of a request."
        ),
    )


def _connections(command: Command) -> Command:
    """What gRPC connections may do."""
    return _options(
        command,
        click.option("--grpc-keepalive-time", default="2h", callback=milliseconds, metavar="TIME", show_default=True),
        click.option(
            "--grpc-keepalive-timeout", default="20s", callback=milliseconds, metavar="TIME", show_default=True
        ),
        click.option("--grpc-keepalive-without-calls", is_flag=True, help="Ping idle connections too."),
        click.option("--grpc-max-connection-age", callback=milliseconds, metavar="TIME", help="Then it is closed."),
        click.option("--grpc-max-connection-grace", callback=milliseconds, metavar="TIME", help="For calls in it."),
        click.option("--grpc-reuse-port", is_flag=True, help="Several servers may listen there (SO_REUSEPORT)."),
        click.option(
            "--frontends",
            type=click.IntRange(0, 64),
            default=0,
            metavar="N",
            show_default=True,
            help="Processes that accept and decode in front of this one.",
        ),
    )


def _behaviour(command: Command) -> Command:
    """What it lets clients do, and how it starts and ends."""
    return _options(
        command,
        click.option("--reload", is_flag=True, help="Load files again when they change."),
        click.option(
            "--reload-interval",
            default="10s",
            callback=seconds,
            metavar="TIME",
            show_default=True,
            help="How often --reload looks at stores.",
        ),
        click.option(
            "--store-limit", default="16GiB", callback=size, metavar="SIZE", show_default=True, help="Of one store."
        ),
        click.option("--id", default="", metavar="NAME", help="The server's name in its metadata. [pipectl]"),
        click.option("--compat", type=click.Choice(["triton"]), help="Status codes and names as that server has them."),
        click.option(
            "--model-control",
            type=click.Choice(["none", "explicit"]),
            default="none",
            show_default=True,
            help="explicit: clients may load and unload.",
        ),
        click.option("--allow-client-shm", is_flag=True, help="Clients may register system shared memory."),
        click.option("--strict-readiness/--no-strict-readiness", default=True, help="Ready only when all are."),
        click.option("--exit-on-error/--no-exit-on-error", default=True, help="Do not start if one does not load."),
        click.option("--header-forward", default="", callback=_pattern, metavar="REGEX", help="Headers for pipelines."),
        click.option(
            "--trace-folder",
            type=click.Path(exists=True, file_okay=False, path_type=Path),
            metavar="FOLDER",
            help="Clients may switch traces on, which are written here.",
        ),
        click.option("--otlp", metavar="URL", help="Spans go to this OTLP collector: http://host:4318/v1/traces."),
        click.option(
            "--otlp-share",
            type=click.FloatRange(0, 1),
            default=0.01,
            show_default=True,
            help="Of requests that are traced though their caller does not.",
        ),
        click.option("--exit-timeout", default="30s", callback=seconds, metavar="TIME", show_default=True),
        click.option(
            "--drain-delay",
            default="5s",
            callback=seconds,
            metavar="TIME",
            show_default=True,
            help="Answers go on for so long after SIGTERM, while not ready.",
        ),
    )


@click.command("serve")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=Place())
@schedule
@device
@serial
@_listening
@_connections
@_behaviour
@common
@click.pass_obj
def command(session: Session, /, **options: Any) -> Exit:
    """Serve pipelines to clients.

    All public ones of .pipe files, or of folders NAME/VERSION/*.pipe, until SIGTERM or Ctrl-C. A PATH may be a URL
    that fsspec opens (s3://bucket/pipelines); it is copied to this machine. Clients of KServe's protocol v2 and of a
    Triton server work as they are. SIGTERM answers what is under way and ends; a second signal ends at once."""
    settings = Settings(**options)
    if (settings.tls_cert is None) != (settings.tls_key is None) or (settings.tls_clients and not settings.tls_cert):
        raise click.UsageError("--tls-cert and --tls-key go together; --tls-clients needs both")
    if settings.frontends and not (settings.grpc or settings.http):
        raise click.UsageError("--frontends needs --grpc or --http to listen at")
    from pipectl.server import serve

    return serve(settings, session)
