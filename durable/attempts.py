"""Attempts at jobs (durable/jobs.py): which hints are sent, when a job may start, and what its outcome leads to."""

from __future__ import annotations

import logging
import time
import traceback
from functools import partial
from typing import Any

from django.db import Error as DatabaseError

from durable import rates
from durable.clock import Now
from durable.databases import close_broken, storable
from durable.hints import publish
from durable.lease import Lease, LeaseLost
from durable.models import backoff
from durable.rates import Rate
from durable.retries import Postponed, retry_after, retry_database

logger = logging.getLogger(__name__)

WINDOW = 20
"""Maximum number of hints of one class that no worker has taken yet: an urgent job does not wait behind more."""
PATIENCE = 1.0
"""Seconds that a worker waits for the rate limit. A job that has to wait longer is put back."""
LONGEST = 20_000
"""Maximum length of a stored traceback in characters. Its end is kept."""


def fill(kind: type[Any]) -> int:
    """Send hints of the most urgent jobs of a class, as far as the window and the rate limit allow. Return how many."""
    room = WINDOW
    if kind.rate_limit:
        room = min(room, rates.free_within(PATIENCE, kind._meta.label_lower, Rate.of(kind.rate_limit)))
    room -= kind.objects.hinted()[:WINDOW].count()
    if room <= 0:
        return 0
    rows = kind.objects.mark_published(room)
    publish(rows)
    return len(rows)


def work(kind: type[Any], pk: Any) -> None:
    """Run one attempt at a job in a worker. Does nothing if it is not due or another worker holds it."""
    fill(kind)  # before the claim, because it may raise and is then repeated; other workers find a hint meanwhile
    lease = kind.objects.claim(pk)
    if lease is None:
        return
    try:
        with lease:
            if _may_start(lease):
                attempt(lease)
    except LeaseLost:
        logger.info("%s: attempt %d lost its lease.", lease.work, lease.attempt)
    except DatabaseError as error:  # the outcome cannot be written: the lease expires, and the sweep takes over
        logger.warning("%s: the database is unavailable (%s); the sweep will try again.", lease.work, error)
        close_broken()


def _may_start(lease: Lease[Any]) -> bool:
    """Return whether the rate limit allows the start. If it will only later, put the job back, uncounted."""
    job = lease.work
    if not job.rate_limit:
        return True
    while wait := rates.take(job._meta.label_lower, Rate.of(job.rate_limit)):
        if wait > PATIENCE:
            lease.release(after=wait)
            return False
        time.sleep(wait)
        lease.check()
    return True


def attempt(lease: Lease[Any]) -> Exception | None:
    """Run a claimed job and record the outcome. Return the error of a failed attempt. Raises LeaseLost."""
    try:
        result = lease.work.run(lease) or {}
        if not isinstance(result, dict):
            raise TypeError(f"run() returned {result!r}: return a dict or None.")
        retry_database(partial(lease.work.finish, lease, result), lease.work)
    except LeaseLost:
        raise
    except Postponed as error:
        logger.info("%s: postponed: %s", lease.work, error)
        retry_database(partial(lease.release, after=error.retry_after, reason=str(error)), lease.work)
        return error
    except Exception as error:  # noqa: BLE001 - whatever the job raises is its outcome
        close_broken()
        retry_database(partial(_fail, lease, error), lease.work)
        return error
    return None


def _fail(lease: Lease[Any], error: Exception) -> None:
    job = lease.work
    reason = storable(traceback.format_exception_only(error)[-1].strip())
    words = {"reason": reason, "traceback": storable("".join(traceback.format_exception(error)))[-LONGEST:]}
    if isinstance(error, job.permanent) or lease.last_attempt:
        lease.park(state=job.State.FAILED, finished_at=Now(), **words)
        logger.error("%s: failed: %s", job, reason, exc_info=error)
    else:
        wait = retry_after(error)
        lease.retry(backoff(job.failures, job.first_wait) if wait is None else wait, **words)
        logger.warning("%s: attempt %d failed and will be retried: %s", job, lease.attempt, reason)
