"""Each of these tests leaves nothing behind."""

from tests.backends.leftovers import nothing_left

__all__ = ["nothing_left"]
