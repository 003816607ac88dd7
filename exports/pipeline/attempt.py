"""Run one attempt at a claimed row. An error leads to another attempt or to the failure of the export."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist
from django.db import Error as DatabaseError
from django.utils import translation

from durable.databases import close_broken
from durable.lease import Lease, LeaseLost
from durable.models import Work, backoff
from durable.retries import retry_database
from exports.datasets import datasets
from exports.datasets.access import may_have
from exports.datasets.filtering import RequestParams
from exports.errors import (
    BadParam,
    DatasetFailed,
    ExportError,
    NoPermission,
    StaleParam,
    TooSlow,
    errors_as,
    from_exception,
)
from exports.models import Export, Part
from exports.pipeline.failure import fail, words_of

logger = logging.getLogger(__name__)
W = TypeVar("W", bound=Work)


def attempt(lease: Lease[W] | None, work: Callable[[Lease[W]], None], otherwise: type[ExportError]) -> None:
    """Run `work` under the lease, if there is one, and handle its errors. Unknown errors are stored as `otherwise`."""
    if lease is None:
        return
    try:
        with lease, translation.override(_language(lease.work)):
            try:
                work(lease)
            except LeaseLost:
                raise
            except SoftTimeLimitExceeded:
                _retry_or_fail(lease, TooSlow())
            except Exception as error:
                known = from_exception(error, otherwise)
                if known is not error:
                    known.__cause__ = error
                unexpected = _is_unexpected(known, error)
                logger.log(
                    logging.ERROR if unexpected else logging.WARNING,
                    "%s: attempt %d failed (%s): %r",
                    lease.work,
                    lease.attempt,
                    known.code,
                    error.__cause__ or error,
                    exc_info=unexpected,
                )
                close_broken()  # also those of datasets: the next attempt may run in this process
                _retry_or_fail(lease, known)
    except LeaseLost:
        logger.info("%s: attempt %d lost its lease.", lease.work, lease.attempt)
    except DatabaseError as error:  # the error cannot be written either: the lease expires, and the sweep takes over
        logger.warning("%s: the database is unavailable (%s); the sweep will try again.", lease.work, error)
        close_broken()


def _language(work: Work) -> str:
    """Return the language of the owner, for labels, numbers and error messages."""
    export = work.export if isinstance(work, Part) else work
    return getattr(export, "language", "") or settings.LANGUAGE_CODE


def _is_unexpected(known: ExportError, error: Exception) -> bool:
    """Return whether to log a traceback: for unexpected errors in the code of this app or of a dataset."""
    return not known.retryable and (known is not error or error.__cause__ is not None)


def _retry_or_fail(lease: Lease[W], error: ExportError) -> None:
    if error.retryable and not lease.last_attempt:
        wait = backoff(lease.work.failures, error.first_wait)
        retry_database(partial(lease.retry, wait, **_retry_fields(lease.work, error)), lease.work)
    else:
        retry_database(partial(fail, lease, error), lease.work)


def _retry_fields(work: Work, error: ExportError) -> dict[str, str]:
    """Return the error fields to store with a retry. An export's own error fields are set only when it fails."""
    return words_of(error) if isinstance(work, Part) else {}


def require_permission(export: Export) -> None:
    """Raise NoPermission if the owner is no longer permitted to have the export, or no longer exists."""
    try:
        owner = export.owner
    except ObjectDoesNotExist:
        raise NoPermission from None
    with errors_as(DatasetFailed):
        if not may_have(owner, export):
            raise NoPermission


def require_params(export: Export) -> None:
    """Raise StaleParam if the datasets no longer accept the parameters of the export."""
    if not export.params:
        return
    with errors_as(DatasetFailed):
        try:
            RequestParams([datasets.get(key) for key in export.datasets], export.data_owner).require(export.params)
        except BadParam as error:
            raise StaleParam.because(error) from error
