"""The lease on a claimed row: every write through it is fenced, and a thread renews it during the work."""

from __future__ import annotations

import logging
import threading
import time
from contextvars import copy_context
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

from django.db import Error, connections
from django.db.models import F, QuerySet
from django.db.models.expressions import Combinable
from django.db.models.functions import Greatest

from durable.conf import durable_settings

logger = logging.getLogger(__name__)


class Leasable(Protocol):
    """The interface of a row that can be leased; `durable.models.Work` implements it."""

    pk: Any
    attempt: Any
    attempt_limit: Any

    def lease_end(self) -> Combinable: ...
    def moment_in(self, seconds: float) -> Combinable: ...
    def held_rows(self) -> QuerySet[Any]: ...


W = TypeVar("W", bound=Leasable)


class LeaseLost(Exception):
    """Raised when another worker holds the row or the row was closed. Stop without reporting an error."""


class Lease(Generic[W]):
    """One claimed attempt at one row. Use it as a context manager, so that it is renewed during the work.

    If the row has another holder or is closed, every method that writes raises LeaseLost and writes nothing.
    """

    def __init__(self, work: W) -> None:
        self.work = work
        self.attempt = work.attempt
        self._started = time.monotonic()
        self._lost = threading.Event()
        self._ended = threading.Event()
        self._renewer: threading.Thread | None = None

    def __enter__(self) -> Self:
        here = copy_context()  # with the fields of log lines
        self._renewer = threading.Thread(
            target=here.run, args=(self._keep_renewing,), name=f"lease-{self.work.pk}", daemon=True
        )
        self._renewer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._renewer is not None:
            self._renewer.join()

    def check(self) -> None:
        """Raise LeaseLost if the lease is known to be lost. Costs no query; call it between rows."""
        if self._lost.is_set():
            raise LeaseLost

    def save(self, **fields: Any) -> None:
        """Write `fields` and renew the lease."""
        self._write(lease_until=self.work.lease_end(), **fields)

    def finish(self, **fields: Any) -> None:
        """Close the row after successful work, unless `fields` sets `next_attempt_at`."""
        self._end(**{"next_attempt_at": None} | fields)

    def park(self, **fields: Any) -> None:
        """Close the row after failed work. The same write as `finish`; the name documents the caller's intent."""
        self.finish(**fields)

    def retry(self, after: float, **fields: Any) -> None:
        """End this attempt and make the row due again in `after` seconds."""
        self._end(next_attempt_at=self.work.moment_in(after), published_at=None, **fields)

    def release(self, after: float = 0.0, **fields: Any) -> None:
        """End this attempt without counting it, and make the row due again in `after` seconds."""
        due = self.work.moment_in(after)
        self._end(next_attempt_at=due, published_at=None, attempt_limit=F("attempt_limit") + 1, **fields)

    @property
    def last_attempt(self) -> bool:
        """Whether no attempt is left after this one."""
        return bool(self.work.attempt >= self.work.attempt_limit)

    @property
    def elapsed(self) -> float:
        """Seconds since the claim."""
        return time.monotonic() - self._started

    def _end(self, **fields: Any) -> None:
        elapsed = round(self.elapsed, 3)
        self._write(
            lease_until=None,
            leased_by="",
            seconds=F("seconds") + elapsed,
            longest_seconds=Greatest(F("longest_seconds"), elapsed),
            **fields,
        )
        self._ended.set()

    def _write(self, **fields: Any) -> None:
        if not self.work.held_rows().update(**fields):
            self._lost.set()
            raise LeaseLost

    def _keep_renewing(self) -> None:
        try:
            while not self._ended.wait(durable_settings().renew_every):
                self._renew_once()
        except LeaseLost:
            logger.info("Lost the lease on %s after attempt %d.", self.work, self.attempt)
        finally:
            connections.close_all()  # of this thread

    def _renew_once(self) -> None:
        try:
            self.save()
        except Error as error:  # the database is unavailable: if it stays so, the lease expires
            logger.warning("The lease on %s was not renewed: %s", self.work, error)
            connections.close_all()
