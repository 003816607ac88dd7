"""A task of the site, which charges a card, and a task of leased work."""

import os
import time
from pathlib import Path

from celery import shared_task

from durable.celery.tasks import durable_task
from durable.lease import LeaseLost
from tests.work.models import Errand

FOLDER = Path(os.environ["HOST_DIR"])


def note(words: str) -> None:
    """Append a line to the ledger, which no worker reads."""
    with (FOLDER / "ledger").open("a") as ledger:
        ledger.write(f"{words}\n")


@shared_task
def charge(card: str, seconds: float) -> None:
    note(f"charging {card}")
    time.sleep(seconds)
    note(f"charged {card}")


@durable_task(name="tests.run_errand")
def run_errand(pk: int) -> None:
    """Work on a row until the file "open" exists."""
    lease = Errand.objects.claim(pk)
    if lease is None:
        return
    note(f"began {pk} in {os.getpid()}")
    try:
        with lease:
            while not (FOLDER / "open").exists():
                time.sleep(0.05)
                lease.check()
            lease.finish(done_by=str(os.getpid()))
    except LeaseLost:
        note(f"lost {pk}")
    else:
        note(f"finished {pk}")
