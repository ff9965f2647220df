"""One profile for all property tests: how long one takes says more about the machine than about the code."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("casstore", deadline=None)
settings.load_profile("casstore")
