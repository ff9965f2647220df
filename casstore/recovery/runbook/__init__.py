"""The plan as a living document: written from what it describes, and held against it later."""

from casstore.recovery.runbook.described import Described, Way
from casstore.recovery.runbook.walk import Walked, walk
from casstore.recovery.runbook.written import Form, RunbookOutdated, check, page_of, write

__all__ = ["Described", "Form", "RunbookOutdated", "Walked", "Way", "check", "page_of", "walk", "write"]
