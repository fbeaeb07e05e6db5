"""What a run of an engine raises."""

from __future__ import annotations


class EngineError(RuntimeError):
    """The library refused a call or failed in it: INTERNAL / 500. Names stage, tensor, what was expected."""

    def __init__(self, stage: str, tensor: str, message: str, reasons: str = "") -> None:
        place = f"stage `{stage}`, tensor `{tensor}`" if tensor else f"stage `{stage}`"
        super().__init__(f"{place}: {message}" + (f": {reasons}" if reasons else ""))
        self.stage = stage
        self.tensor = tensor
