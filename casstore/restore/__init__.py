"""Restore: the most careful verb. `journal.py` says in which order things are written, and why."""

from casstore.restore.finished import Finished, NothingToUndo
from casstore.restore.given import NothingToRewrite, read_live
from casstore.restore.journal import Header
from casstore.restore.plan import Change, Plan, plan
from casstore.restore.recover import Recovered, Unfinished, refuse_unfinished, resume, undo, unfinished
from casstore.restore.restoring import NotRestorable, Restored, TargetUnwritable, restore
from casstore.restore.rewriting import rewrite
from casstore.restore.saved import NotSaved
from casstore.restore.stage import StagingDamaged
from casstore.restore.survey import scope
from casstore.restore.swap import ChangedMeanwhile
from casstore.restore.undoing import finished, plan_undo, undo_finished

__all__ = [
    "Change",
    "ChangedMeanwhile",
    "Finished",
    "Header",
    "NotRestorable",
    "NotSaved",
    "NothingToRewrite",
    "NothingToUndo",
    "Plan",
    "Recovered",
    "Restored",
    "StagingDamaged",
    "TargetUnwritable",
    "Unfinished",
    "finished",
    "plan",
    "plan_undo",
    "read_live",
    "refuse_unfinished",
    "restore",
    "resume",
    "rewrite",
    "scope",
    "undo",
    "undo_finished",
    "unfinished",
]
