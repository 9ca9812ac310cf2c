"""The priority of threads that compute: the window answers first."""

import os
import sys
import threading

_NICE = 10
"""A tenth of the window's share of a processor that both want, and all of one that nobody else wants."""


def give_way() -> None:
    """Let this thread, and the threads it starts, compute on what the window leaves of the processor.

    Nothing is lost on a processor that is free. A thread cannot take its priority back, so call it only in
    one that ends with its work. Linux alone has a "nice" value for each thread; elsewhere nothing changes.
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + _NICE)
