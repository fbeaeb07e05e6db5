"""All codes of the catalogue and their pages, for `pipectl explain`, editors, SARIF and the meta-tests.

Every module of this package is part of the catalogue: subclasses of `Mistake`, and bare `Entry`s for codes without a
diagnostic.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from pipeline_dsl.diagnostics import Severity

from .base import Mistake


@dataclass(frozen=True, slots=True)
class Entry:
    """One code."""

    code: str
    title: str
    severity: Severity
    where: str
    """Family: the module that declares it, `syntax` or `types`; `load`: told when a stage is loaded."""


@cache
def codes() -> Mapping[str, Entry]:
    """Every code that can be reported, sorted."""
    package = importlib.import_module(__package__)
    modules = [importlib.import_module(f"{__package__}.{m.name}") for m in pkgutil.iter_modules(package.__path__)]
    bare = (value for module in modules for value in vars(module).values() if isinstance(value, Entry))
    found: dict[str, Entry] = {entry.code: entry for entry in bare}
    for mistake in _mistakes(Mistake):  # type: ignore[type-abstract]  # only asked for its subclasses
        family = mistake.__module__.rpartition(".")[2]
        found.setdefault(mistake.code, Entry(mistake.code, mistake.title, mistake.severity(), family))
    return MappingProxyType(dict(sorted(found.items())))


def page(code: str) -> str:
    """The explanation of a code as Markdown. KeyError if there is no such code or it has no page."""
    if code not in codes():
        raise KeyError(code)
    path = files("pipeline_dsl").joinpath("pages", f"{code}.md")
    if not path.is_file():
        raise KeyError(code)
    return path.read_text(encoding="utf-8")


def _mistakes(base: type[Mistake]) -> list[type[Mistake]]:
    """Concrete subclasses in order of declaration."""
    found: list[type[Mistake]] = []
    for mistake in base.__subclasses__():
        if mistake.__module__.startswith(f"{__package__}."):
            found += [mistake] if hasattr(mistake, "code") else []
            found += _mistakes(mistake)
    return found
