"""Where the process begins: signals and streams are made good before anything that takes time is imported.

Until the command runs, a signal ends the process as it ends any other. From then on the first one, of a terminal that
is closed and of `kill` too, is an interrupt, after which everything is put back as it was; later ones are not heard,
since they would cut that short. What was ignored from the start, as by `nohup`, stays ignored.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import NoReturn

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


SWITCH_S = 0.0005  # a thread that comes back from the system waits no longer for the one that runs; 5 ms by default
ARENAS = 2  # heaps of the C library; as many as it likes, each with holes of its own, cost 10 MiB and gain nothing
_ARENA_MAX = -8  # M_ARENA_MAX in malloc.h


def main() -> NoReturn:
    """Run the command that was typed."""
    sys.setswitchinterval(SWITCH_S)
    _share_heaps()
    heard = [number for number in STOPS if signal.getsignal(number) is not signal.SIG_IGN]
    for number in heard:
        signal.signal(number, signal.SIG_DFL)
    _open_streams()
    from cascli.main import main as command

    for number in heard:
        signal.signal(number, _stop)
    command()


def _share_heaps() -> None:
    """Let all threads share few heaps."""
    import ctypes

    with suppress(OSError, AttributeError):  # another C library, which has its own ways
        ctypes.CDLL(None).mallopt(_ARENA_MAX, ARENAS)


def _stop(_number: int, _frame: object) -> None:
    hear_no_more(STOPS)
    raise KeyboardInterrupt


def hear_no_more(numbers: Iterable[int]) -> None:
    """Let later signals pass: by a handler, since an application started from now on would inherit `SIG_IGN`.

    It could not be stopped any more but by SIGKILL. What was ignored from the start stays so.
    """
    for number in numbers:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _pass)


def _pass(_number: int, _frame: object) -> None:
    pass


def _open_streams() -> None:
    """Open what was closed (`>&-`) on nothing, lest a file of the repository get the number of stdout."""
    for name, flags in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, flags))  # noqa: PTH123, SIM115 - open as long as the process is
