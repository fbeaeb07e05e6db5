"""Diagnostics as people and programs read them: `text`, `json`, `github`, `sarif`.

Each function takes diagnostics in the order to show them (`Sink.sorted()`) and gives one string that ends with a
newline, or "" for none in the forms for people.
"""

from __future__ import annotations

from .machine import github, json, record, sarif
from .text import text

__all__ = ["github", "json", "record", "sarif", "text"]
