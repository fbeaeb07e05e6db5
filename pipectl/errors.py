"""Failures of the command itself, apart from those of files, stages and requests."""

from __future__ import annotations


class Hinted(Exception):
    """A message, and what to do about it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class OptionError(Hinted):
    """An option's value that can not be used at all."""


class OutputError(Hinted):
    """Answers that could not be written."""


class ConversionError(Hinted):
    """Something written for or by another system that can not be converted; its text names the place."""


class ArtifactError(Hinted):
    """A stage's file that is missing or can not be read."""
