"""Orders of the demo shop with columns that fail at one row, in the middle of the second of four parts."""

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
"""Order numbers: the first order, which planning also reads, and one that only the second part's worker reads."""
HOG_BYTES = 400 << 20


def crash() -> None:
    """Cause a segmentation fault, as a broken C extension would."""
    ctypes.string_at(0)


def hog() -> None:
    """Allocate memory until the OOM killer strikes in the MEMORY_GROUP control group. Without one, send SIGKILL."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})  # may exceed the soft time limit on a busy machine
    if group := os.environ.get("MEMORY_GROUP"):
        (Path(group) / "cgroup.procs").write_text(str(os.getpid()))
        taken = [os.urandom(1 << 20) for _ in range(HOG_BYTES >> 20)]
        raise AssertionError(f"The OOM killer did not strike after {len(taken)} MB.")
    os.kill(os.getpid(), signal.SIGKILL)


def run_out() -> None:
    """Raise MemoryError, as Python does if the process may not allocate more memory."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (HOG_BYTES, before[1]))
    try:
        bytearray(2 * HOG_BYTES)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def hang() -> None:
    """Block in a C call that ignores the soft time limit. The thread that renews the lease keeps running."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    ctypes.CDLL(None).sleep(3_600)


def wait() -> None:
    """Wait until the file GATE exists."""
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
