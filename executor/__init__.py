"""A running plan: requests become cohorts, cohorts become batches, and every request is answered exactly once.

Request -> admission -> Cohort -> inbox -> Group -> Batch -> Instance -> Cohort -> .. -> Response
"""

from __future__ import annotations

from .engine import Engine
from .errors import LoadError, RequestError
from .request import Job, Request, Response

__all__ = ["Engine", "Job", "LoadError", "Request", "RequestError", "Response"]
