"""Orders of the demo shop with columns that do harm at one row, in the middle of the second part of four."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path

from django.contrib.auth.models import AbstractBaseUser
from django.db.models import QuerySet

from exports.datasets import Column, Dataset, register
from exports.demo.models import Order

ROWS = 12_000
FIRST, MIDDLE = "00000001", "00004500"
"""The numbers of the first order, which planning reads too, and of one that only the second part's worker reads."""
HOG_BYTES = 400 << 20


def crash() -> None:
    """A real segmentation fault, as a broken C extension makes it."""
    ctypes.string_at(0)


def hog() -> None:
    """Take memory until the OOM killer comes: the kernel's own, in the group of MEMORY_GROUP, else one in its place."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})  # on a busy machine it may take longer than allowed
    if group := os.environ.get("MEMORY_GROUP"):
        (Path(group) / "cgroup.procs").write_text(str(os.getpid()))
        taken = [os.urandom(1 << 20) for _ in range(HOG_BYTES >> 20)]
        raise AssertionError(f"Nobody minded {len(taken)} MB.")
    os.kill(os.getpid(), signal.SIGKILL)


def run_out() -> None:
    """What Python itself says where the process may not have more memory."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (HOG_BYTES, before[1]))
    try:
        bytearray(2 * HOG_BYTES)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def hang() -> None:
    """A call of C that hears nothing of the soft time limit; the thread that renews the lease goes on all the while."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    ctypes.CDLL(None).sleep(3_600)


def wait() -> None:
    """Long work: until the file GATE is there."""
    while not Path(os.environ["GATE"]).exists():
        time.sleep(0.1)


def _column(name: str, do: Callable[[], None], at: str = MIDDLE) -> Column:
    def value(order: Order) -> str:
        if order.number == at:
            do()
        return name

    return Column(name, name, function=value)


@register
class Poison(Dataset):
    key = "poison"
    label = "Poison"
    date_field = "placed_at"
    columns = (
        Column("number", "Order"),
        _column("crash", crash),
        _column("crash_at_first", crash, FIRST),
        _column("hog", hog),
        _column("run_out", run_out),
        _column("hang", hang),
        _column("wait", wait),
    )

    def queryset(self, user: AbstractBaseUser) -> QuerySet[Order]:
        return Order.objects.filter(owner_id=user.pk, number__lte=f"{ROWS:08d}")
