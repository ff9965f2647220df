"""Run one command and write down what it cost: wall time, CPU, peak memory, bytes read.

    python -I -S measure.py RESULT FOLDER OUTPUT -- COMMAND…

A process of its own, as small as Python gets: a child's peak memory starts with that of the process it was
forked from, so a benchmark with a tree in memory would measure itself. Children of the command are included.
"""

import json
import os
import sys
import time


def main() -> int:
    """Run, wait, write down."""
    result, folder, output = sys.argv[1:4]
    command = sys.argv[5:]
    os.chdir(folder)
    write = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, output, write, 0o600),
        (os.POSIX_SPAWN_OPEN, 2, output + ".err", write, 0o600),
    ]
    begun = time.perf_counter()
    pid = os.posix_spawnp(command[0], command, os.environ, file_actions=actions)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    seconds = time.perf_counter() - begun
    with open(f"/proc/{pid}/io") as file:
        io = dict(line.split(": ") for line in file)
    _, status, usage = os.wait4(pid, 0)
    with open(result, "w") as file:
        json.dump(
            {
                "seconds": seconds,
                "cpu_seconds": usage.ru_utime + usage.ru_stime,
                "peak_bytes": usage.ru_maxrss * 1024,
                "read_bytes": int(io["rchar"]),
                "exit_code": os.waitstatus_to_exitcode(status),
            },
            file,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
