"""Batches on accelerators: launched, not waited for.

Site        where one instance on a device runs its batches: stream, inputs brought there, its end booked later
Reaper      one thread that sees work of devices end
Landings    values on their way to the host, for who reads them there
"""

from __future__ import annotations

from .costs import replanned
from .landing import Landings, hosted
from .reaper import Reaper
from .site import Site, site_of

__all__ = ["Landings", "Reaper", "Site", "hosted", "replanned", "site_of"]
