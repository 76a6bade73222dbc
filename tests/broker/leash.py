"""Runs a command that never outlives the process that started it: `python leash.py COMMAND …`.

Prints the process id of the command, then waits. When standard input reaches its end, because the starter closed it or
died in any way, the command is killed. The exit status is that of the command.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys


def main() -> int:
    """Start, print the process id, wait for the end of either side."""
    with subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=sys.stderr) as child:
        print(child.pid, flush=True)
        watcher = select.poll()
        ended = os.pidfd_open(child.pid)
        watcher.register(ended, select.POLLIN)
        watcher.register(0, select.POLLIN | select.POLLHUP)
        ready = {fd for fd, _ in watcher.poll()}
        if ended not in ready:
            child.kill()
        return child.wait()


if __name__ == "__main__":
    sys.exit(abs(main()))
