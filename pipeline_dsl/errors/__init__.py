"""The catalogue of mistakes: one frozen dataclass for each way a pipeline can be wrong.

A pass collects them in a sink and goes on; text is made once, at the end, by `render`:

    sink.add(UnknownPort(span, "encoder", "ids", ports).diagnostic())

To add a mistake:

1. Write a class in the file of its family (`syntax`, `names`, `types`, ...; any new module of this package is found
   by itself). It holds facts, not sentences:

       @dataclass(frozen=True)
       class UnknownPort(Mistake):
           code = "E0401"
           title = "unknown port"
           span: Span
           stage: str
           port: str
           ports: tuple[str, ...]

           def diagnostic(self) -> Diagnostic:
               guess = nearest(self.port, self.ports)
               return self.at(
                   self.span,
                   f"stage `{self.stage}` has no port `{self.port}`",
                   label=f"did you mean `{guess}`?" if guess else "",
                   notes=(f"ports: {', '.join(self.ports)}",),
               )

   A code that starts with W is a warning. Several classes may share a code; the first one's title names it.
   Where two places disagree, both are shown: `span` is drawn with `^`, each `Label` with `-`.
2. Write its page `pipeline_dsl/pages/E0401.md`: what it means, a wrong example, the right one.
3. Write a golden pair `tests/golden/errors/E0401_<what>.pipe` and `.err` (PIPECTL_BLESS=1 writes the `.err`).

A test fails while a registered code has no page or no golden pair.
"""

from __future__ import annotations

from .base import Mistake
from .registry import Entry, codes, page

__all__ = ["Entry", "Mistake", "codes", "page"]
