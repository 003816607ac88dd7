"""One attempt at a claimed row, and what its error leads to: another attempt, or the end of the export."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection
from django.utils import translation

from durable.lease import Lease, LeaseLost
from durable.models import Work, backoff
from durable.patience import patiently
from exports.datasets import datasets
from exports.errors import DatasetFailed, ExportError, NoPermission, TooSlow, blaming, from_exception
from exports.models import Export, Part
from exports.pipeline.failure import fail, words_of

logger = logging.getLogger(__name__)
W = TypeVar("W", bound=Work)


def attempt(lease: Lease[W] | None, work: Callable[[Lease[W]], None], otherwise: type[ExportError]) -> None:
    """One attempt at a claimed row. `otherwise` is the error that stands for one that this tree does not know."""
    if lease is None:
        return
    try:
        with lease, translation.override(_language(lease.work)):
            try:
                work(lease)
            except LeaseLost:
                raise
            except SoftTimeLimitExceeded:
                _end_badly(lease, TooSlow())
            except Exception as error:
                known = from_exception(error, otherwise)
                if known is not error:
                    known.__cause__ = error
                surprise = _surprise(known, error)
                logger.log(
                    logging.ERROR if surprise else logging.WARNING,
                    "%s: attempt %d ended (%s): %r",
                    lease.work,
                    lease.attempt,
                    known.code,
                    error.__cause__ or error,
                    exc_info=surprise,
                )
                _end_badly(lease, known)
    except LeaseLost:
        logger.info("%s: somebody else holds it after attempt %d.", lease.work, lease.attempt)
    except DatabaseError as error:  # it cannot even be written down: the lease runs out and the sweep opens the row
        logger.warning("%s: the database is away (%s); the sweep will try again.", lease.work, error)
        connection.close()


def _language(work: Work) -> str:
    """What the owner reads: labels, words, numbers, and why it failed."""
    export = work.export if isinstance(work, Part) else work
    return getattr(export, "language", "") or settings.LANGUAGE_CODE


def _surprise(known: ExportError, error: Exception) -> bool:
    """A traceback is for errors that nobody foresaw, in the code of this app or of a dataset."""
    return not known.retryable and (known is not error or error.__cause__ is not None)


def _end_badly(lease: Lease[W], error: ExportError) -> None:
    if error.retryable and not lease.last_attempt:
        wait = backoff(lease.work.failures, error.first_wait)
        patiently(partial(lease.retry, wait, **_told(lease.work, error)), lease.work)
    else:
        patiently(partial(fail, lease, error), lease.work)


def _told(work: Work, error: ExportError) -> dict[str, str]:
    """What a row that is tried again says of its last attempt; an export's own words are for its end alone."""
    return words_of(error) if isinstance(work, Part) else {}


def require_permission(export: Export) -> None:
    """Raise NoPermission when the owner may not have it any more."""
    with blaming(DatasetFailed):
        permitted = (datasets.get(key).permitted(export.owner) for key in export.datasets)
        if not export.owner.is_active or not all(permitted):
            raise NoPermission
