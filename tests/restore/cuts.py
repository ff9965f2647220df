"""Kills a restore, for real, before its n-th change of the file system."""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from casstore.restore import moves
from casstore.restore.staging import JOURNAL

CALLS = ("rename", "unlink", "rmdir", "mkdir", "link", "chmod", "chown", "utime", "fsync", "setxattr", "removexattr")


def cut(
    work: Callable[[], None],
    at: int,
    *,
    from_journal: bool = True,
    exchange: bool = True,
    also: Sequence[tuple[object, str]] = (),
) -> bool:
    """Run `work` in a child that is killed before its `at`-th change; False if it came to its end before that.

    `from_journal` counts from the moment on when the journal has its name. Without `exchange` the file system is one
    that cannot exchange two names. `also` names other calls that count, before and after: an owner, and its attribute.
    """
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            _arm(at, from_journal, exchange, also)
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL), f"the child ended with {status}"
    return status != 0


def _arm(at: int, from_journal: bool, exchange: bool, also: Sequence[tuple[object, str]]) -> None:
    left = at
    counting = not from_journal

    def count() -> None:
        nonlocal left
        if counting:
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def counting_call(*args: Any, **options: Any) -> Any:
            nonlocal counting
            count()
            result = call(*args, **options)
            if len(args) > 1 and args[1] == JOURNAL:
                counting = True
            return result

        return counting_call

    def around(call: Callable[..., Any]) -> Callable[..., Any]:
        def counting_call(*args: Any, **options: Any) -> Any:
            count()
            result = call(*args, **options)
            count()
            return result

        return counting_call

    for name in CALLS:
        setattr(os, name, counted(getattr(os, name)))
    for owner, name in also:
        setattr(owner, name, around(getattr(owner, name)))
    real = moves._renameat2

    def renameat2(source: moves.Place, target: moves.Place, flags: int) -> None:
        if not exchange:
            raise OSError(errno.EINVAL, "no flags here")
        count()
        real(source, target, flags)

    moves._renameat2 = renameat2
