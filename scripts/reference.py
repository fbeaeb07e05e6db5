"""Reference pages made from the tables the code itself uses: `python scripts/reference.py` writes them to docs/.

A test holds the pages to the tables; `make bless` rewrites them, too.
"""

import re
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from executor.metrics import FAMILIES  # noqa: E402 - the root is on the path from here on
from pipeline_dsl.check.load import STOCK, STOCK_FOLDER, stock_modules  # noqa: E402
from pipeline_dsl.diagnostics import Sink  # noqa: E402
from pipeline_dsl.errors import codes  # noqa: E402
from pipeline_dsl.parse import parse  # noqa: E402
from pipeline_dsl.read import read  # noqa: E402
from pipeline_dsl.settings import BACKENDS, CONTRACT, MAP, PIPELINE, STAGE, TRY, KeySpec  # noqa: E402
from pipeline_dsl.syntax import Param, Stage  # noqa: E402


def pages() -> dict[Path, str]:
    """Every generated page by its path."""
    made = {"settings.md": settings(), "metrics.md": metrics(), "diagnostics.md": diagnostics(), "stock.md": stock()}
    return {ROOT / "docs" / name: text for name, text in made.items()}


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def settings() -> str:
    parts = [
        "# Settings\n",
        "Made from `pipeline_dsl/settings/` by `scripts/reference.py`. A key that is not listed is an error (E0603).\n",
        "## Profile: a stage, or one call site\n",
        "Keys marked *call* belong to a call site; any other key at a call site gives that node a stage of its own.\n",
        keys(STAGE),
        "\n## Profile: a pipeline\n",
        keys(PIPELINE),
        "\n## Stage: what is true of the artifact\n",
        keys(CONTRACT),
        "\n## In a pipeline: options of `map (..)`\n",
        keys(MAP),
        "\n## In a pipeline: options of `try (..)`\n",
        keys(TRY),
        "\n## Backends and their arguments\n",
    ]
    for name, spec in BACKENDS.items():
        parts.append(f"### {name}\n\n```\n{spec.example}\n```\n")
        if spec.arguments:
            parts.append(keys(spec.arguments) + "\n")
    return "\n".join(parts).rstrip("\n") + "\n"


def keys(specs: Iterable[KeySpec]) -> str:
    return table(("key", "takes", "default", "meaning"), (row(s) for s in specs))


def row(spec: KeySpec) -> tuple[str, ...]:
    takes = ", ".join((*(f"`{w}`" for w in spec.words), *(() if spec.kind == "word" else (spec.kind,))))
    default = "" if spec.default is None or spec.default in ((), "") else f"`{spec.default}`"
    only = f" ({', '.join(spec.backends)})" if spec.backends else ""
    mark = " *call*" if spec.scope == "call" else ""
    return f"`{spec.name}`{mark}", takes, default, spec.doc + only


def metrics() -> str:
    rows = ((f"`{f.name}`", f.kind, ", ".join(f.labels), f.help) for f in FAMILIES)
    intro = (
        "# Metrics\n\nMade from `executor/metrics/` by `scripts/reference.py`. `pipe_*` are in base units; `nv_*`"
        " carry the names\nand units of a Triton server, where a pipeline and each of its nodes are models.\n\n"
    )
    return intro + table(("name", "kind", "labels", "meaning"), rows) + "\n"


def diagnostics() -> str:
    rows = ((code, entry.severity, entry.title) for code, entry in codes().items())
    intro = (
        "# Diagnostics\n\nMade from the catalogue by `scripts/reference.py`. `pipectl explain CODE` shows the page of"
        " one, with an\nexample that makes it and one that does not.\n\n"
    )
    return intro + table(("code", "severity", "what"), rows) + "\n"


def stock() -> str:
    parts = [
        "# Stock stages\n",
        "Made from `pipeline_dsl/std/` by `scripts/reference.py`. They come with the language: import them by name, as",
        'in `from "@std/post.pipe" import softmax, topk`. What they compute stays where its input is, on the host or',
        "on a device. Their code is `backends/stock/`.",
    ]
    for path in stock_modules():
        source = read(STOCK_FOLDER / path.removeprefix(STOCK))
        parts.append(f"\n## {path}\n")
        for decl in parse(source, Sink()).decls:
            if isinstance(decl, Param):
                parts.append(f"- param `{decl.name.text}`: {decl.doc}")
            elif isinstance(decl, Stage) and decl.signature is not None:
                where = f"{decl.name.text}{one_line(decl.signature.span.text)}"
                parts.append(f"\n`{where}`\n\n{decl.doc}")
    return "\n".join(parts).replace("\n\n\n", "\n\n") + "\n"


def one_line(signature: str) -> str:
    """A signature without its comments and line breaks."""
    bare = re.sub(r"#[^\n]*", "", signature)
    return re.sub(r",? \)", ")", re.sub(r"\s+", " ", bare)).replace("( ", "(").strip()


def main() -> int:
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
