"""How much memory a job may still take, and how it returns what it has freed."""

import ctypes
import sys
from pathlib import Path

import psutil

_ROOT = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")


def free_host_memory() -> int:
    """Return the bytes that this process may still take: those free, or fewer in a Linux control group.

    Containers and schedulers such as SLURM end a process that goes beyond its group's limit, of which psutil
    does not know.
    """
    free = int(psutil.virtual_memory().available)
    return min([free, *_free_in_groups(_ROOT, _OWN)])


def _free_in_groups(root: Path, own: Path) -> list[int]:
    """Return what is free in every limited group around the process, of either version of the interface.

    Parameters
    ----------
    root : pathlib.Path
        Where control groups are mounted.
    own : pathlib.Path
        File with lines ``number:controllers:path``, the groups of the process.
    """
    try:
        lines = own.read_text().splitlines()
    except OSError:  # not Linux
        return []
    found = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            mount, limit, usage = root, "memory.max", "memory.current"
        elif "memory" in controllers.split(","):
            mount, limit, usage = root / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        group = mount / path.lstrip("/")
        # A group is bound by those around it. Inside a container its path may not exist, the mount does.
        for folder in [group, *group.parents]:
            if folder.is_relative_to(mount):
                try:
                    highest, used = (int((folder / name).read_text()) for name in (limit, usage))
                    found.append(max(0, highest - used + _reclaimable(folder)))
                except (OSError, ValueError):  # no such group, or no limit: "max"
                    continue
    return found


def _reclaimable(folder: Path) -> int:
    """Return the bytes that count as used but hold file contents the system drops when it needs room."""
    lines = (folder / "memory.stat").read_text().splitlines()
    values = dict(line.split() for line in lines)
    return int(values.get("total_inactive_file", values.get("inactive_file", 0)))


def hand_back() -> None:
    """Return memory that this process has freed to the system; the allocator would keep it.

    On Linux every thread has a heap of its own, which glibc keeps at its largest: an hour of training and
    predicting, each job in its thread, took 60 % more memory than anything in it.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc alone
        if trim is not None:
            trim(0)
