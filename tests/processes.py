"""Processes, which may be gone when they are looked at."""

import psutil


def command(process):
    """Return the words of the command that a process runs; none if it is gone."""
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []
