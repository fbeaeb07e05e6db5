"""The python stages of fallback.pipe. The service is played: roads are a quarter longer than the air line."""

import math
import time

import numpy as np

EARTH = 6371.0  # km
SLOW = 0.5  # seconds, far more than anyone waits
_failed: set[str] = set()
"""Requests that the service has failed once."""


def by_air(*, start: np.ndarray, goal: np.ndarray) -> float:
    """Great-circle distance in km of two places, each latitude and longitude in degrees."""
    (lat_a, lon_a), (lat_b, lon_b) = (np.radians(place) for place in (start, goal))
    half = np.sin((lat_b - lat_a) / 2) ** 2 + np.cos(lat_a) * np.cos(lat_b) * np.sin((lon_b - lon_a) / 2) ** 2
    return 2 * EARTH * math.asin(math.sqrt(half))


def by_road(*, start: np.ndarray, goal: np.ndarray, state: str, ctx: object) -> float:
    """What the service says, if it does. `ctx` tells whether anybody still waits."""
    (request,) = ctx.request_ids
    if state == "down":
        raise ConnectionError("the service is down")
    if state == "hiccup" and request not in _failed:
        _failed.add(request)
        raise ConnectionError("the service hung up")
    if state == "slow":
        until = time.monotonic() + SLOW
        while time.monotonic() < until and not ctx.cancelled():
            time.sleep(0.005)
    return 1.25 * by_air(start=start, goal=goal)
