"""Codes of what only shows when a stage is loaded: its file says something else than the `.pipe`.

They have a page and no diagnostic: backends name the code in the text of their error.
"""

from __future__ import annotations

from pipeline_dsl.diagnostics import Severity

from .registry import Entry

ARTIFACT_DIFFERS = Entry("E0310", "signature disagrees with the artifact", Severity.ERROR, "load")
VERSIONS_DIFFER = Entry("E0311", "versions with different signatures", Severity.ERROR, "load")
