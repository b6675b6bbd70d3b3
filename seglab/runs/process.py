"""Which process writes a run, and whether it is still alive."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Any

import psutil


def writer_facts() -> dict[str, Any]:
    """Return the fields of a record that name this process."""
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "pid_started": psutil.Process().create_time(),
    }


def is_writer(content: Mapping[str, Any]) -> bool:
    """Tell whether this process is the one that runs the (running) record."""
    mine = (content["pid"], content["host"]) == (os.getpid(), socket.gethostname())
    return mine and bool(content["status"] == "running")


def effective_status(content: Mapping[str, Any]) -> str:
    """Return the status of a record read before; running without its process is interrupted.

    Only the machine that runs it can tell: a record of another host is believed. A process id that
    was given to a later process does not count as alive.
    """
    status = str(content["status"])
    if status != "running" or content["host"] != socket.gethostname():
        return status
    try:
        process = psutil.Process(content["pid"])
        # The start time is compared with slack: the kernel counts in clock ticks.
        same = abs(process.create_time() - content["pid_started"]) < 2.0
        alive = same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        alive = False
    return "running" if alive else "interrupted"
