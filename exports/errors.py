"""Errors of an export, as one tree. Each message tells the owner what went wrong and what to do.

`retryable` alone decides whether a worker tries again. Errors survive pickling.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from math import ceil

from celery.exceptions import SoftTimeLimitExceeded
from django.db import InterfaceError, InternalError, OperationalError
from django.utils.functional import Promise
from django.utils.text import Truncator
from django.utils.translation import gettext_lazy as _

from durable.lease import LeaseLost

Text = str | Promise


class ExportError(Exception):
    """Base class: an export cannot be accepted or continued. `message` is for its owner, `code` for programs."""

    code = "error"
    retryable = False
    first_wait: float | None = None
    """Seconds before the second attempt, doubled before each later one; None for the default."""
    retry_after: int | None = None
    """Seconds after which the same request may succeed; None if waiting does not help."""
    default: Text = _("The export failed.")

    def __init__(self, message: Text | None = None) -> None:
        self.message = str(message or self.default)
        super().__init__(self.message)

    @property
    def detail(self) -> str:
        """The cause, for operators; empty if there is none."""
        cause = self.__cause__
        return Truncator(f"{type(cause).__name__}: {cause}").chars(2_000) if cause else ""

    def __reduce__(self) -> tuple[type[ExportError], tuple[str]]:
        return type(self), (self.message,)


class BadRequest(ExportError):
    """The request itself is wrong, and nothing was recorded. `field` is the name of the form field."""

    code = "bad_request"
    field: str | None = None


class UnknownDataset(BadRequest):
    """No dataset has this key, or none was chosen, or one too many for the format."""

    code = "unknown_dataset"
    field = "dataset"


class UnknownFormat(BadRequest):
    """No format has this key."""

    code = "unknown_format"
    field = "format"


class UnknownField(BadRequest):
    """The dataset has no column of this name, or it was named twice."""

    code = "unknown_field"
    field = "fields"


class BadTeam(BadRequest):
    """The datasets belong to a team that the user is not in, to several, or to none."""

    code = "bad_team"
    field = "team"


class NoField(BadRequest):
    """A file without columns."""

    code = "no_field"
    field = "fields"
    default = _("Choose at least one field.")


class NothingInside(BadRequest):
    """A bundle without formats, or formats inside an export that is not a bundle."""

    code = "nothing_inside"
    field = "inside"
    default = _("Choose at least one format for the bundle.")


class BadPeriod(BadRequest):
    """The period is unknown, its dates are missing or reversed, or the dataset has no dates."""

    code = "bad_period"
    field = "period"


class TooWide(BadRequest):
    """More columns than fit on the format's page."""

    code = "too_wide"
    field = "fields"


class BadOption(BadRequest):
    """An unknown option of a format, or an invalid value for one."""

    code = "bad_option"
    field = "options"


class BadParam(BadRequest):
    """An unknown parameter of a dataset, or an invalid value for one. `param` is its name in the request."""

    code = "bad_param"
    field = "params"
    param = ""

    @classmethod
    def of(cls, param: str, message: Text) -> BadParam:
        error = cls(message)
        error.param = param
        return error


class TooMany(ExportError):
    """The owner has too many open exports, or sent too many requests. Nothing was recorded; try again later."""

    code = "too_many"
    retry_after = 60

    @classmethod
    def until(cls, message: str, rest: timedelta) -> TooMany:
        """Return the error with the time after which the request is accepted."""
        error = cls(message)
        error.retry_after = max(1, ceil(rest.total_seconds()))
        return error


class NotRecorded(ExportError):
    """The database refused the request, or failed before confirming it. Repeating the same request is safe."""

    code = "not_recorded"
    retry_after = 60
    default = _(
        "The export could not be recorded just now. Please try again in a minute: "
        "if your request did arrive, it is not recorded twice."
    )


class WrongState(ExportError):
    """The export is not in a state that allows this."""

    code = "wrong_state"
    default = _("The export has changed in the meantime. See its page.")


class NoPermission(ExportError):
    code = "no_permission"
    default = _("You no longer have access to this data, so the export was stopped.")


class StaleParam(ExportError):
    """A dataset no longer accepts a parameter of the export: it was changed after the request."""

    code = "stale_param"

    @classmethod
    def because(cls, error: BadParam) -> StaleParam:
        words = _(
            "The data can no longer be filtered as you chose, so the export was stopped. %(reason)s Export it again."
        )
        return cls(words % {"reason": error.message})


class DatasetFailed(ExportError):
    """The dataset's own code raised an exception."""

    code = "dataset_failed"
    default = _(
        "The data could not be read because of a fault in our code, not in your request. It was reported to us; "
        "please try again when it is fixed."
    )

    @classmethod
    def at(cls, key: object, column: Text) -> DatasetFailed:
        """Return the error of one cell: a Python function failed on the row with this primary key."""
        words = _("The column “%(column)s” could not be computed for the row %(key)s. Leave it out, or contact us.")
        return cls(words % {"column": column, "key": key})

    @classmethod
    def crowded(cls, column: Text, key: object, most: int) -> DatasetFailed:
        """Return the error of a row with more objects in a nested column than fit in memory."""
        words = _(
            "“%(column)s” has more than %(most)s entries for the row %(key)s, which is too many for one JSON object. "
            "Leave it out, or choose a format with a table for each, such as CSV."
        )
        return cls(words % {"column": column, "key": key, "most": most})

    @classmethod
    def misfit(cls, column: Text, key: object, value: str, declared: str, hint: str) -> DatasetFailed:
        """Return the error of a value that is not of its column's type. `hint` is a sentence on how to fix it."""
        if key is None:
            words = _("The column “%(column)s” is declared as %(declared)s, but holds %(value)s. %(hint)s")
        else:
            words = _(
                "The column “%(column)s” is declared as %(declared)s, but holds %(value)s in the row %(key)s. %(hint)s"
            )
        return cls(words % {"column": column, "key": key, "value": value, "declared": declared, "hint": hint})


class UnfitDataset(DatasetFailed):
    """The definition of a dataset would make its export wrong. The cause lists the reasons, for operators."""

    code = "unfit_dataset"

    @classmethod
    def because(cls, dataset: str, reasons: Sequence[str]) -> UnfitDataset:
        error = cls()
        error.__cause__ = ValueError(f"The dataset {dataset!r} cannot be exported. {' '.join(reasons)}")
        return error


class SourceAway(ExportError):
    """A service that a dataset fetches its rows from did not answer."""

    code = "source_away"
    retryable = True
    default = _("The data could not be fetched, because a service did not answer. Please try again later.")


class FormatFailed(ExportError):
    """The format's own code raised an exception."""

    code = "format_failed"
    default = _("The file could not be written: our code for this format failed. Another format may work.")


class TooSlow(ExportError):
    code = "too_slow"
    default = _("The export took longer than we allow. Choose a shorter period, or CSV, which is the fastest format.")


class Mismatch(ExportError):
    """The stored file differs from the file that was written."""

    code = "mismatch"
    retryable = True
    default = _("The stored file differed from the finished one, so it was discarded. Please try again later.")


class DiskFull(ExportError):
    code = "disk_full"
    retryable = True
    default = _("There was no room left to store the file. We have been notified; please try again later.")


class StorageFailed(ExportError):
    code = "storage_failed"
    retryable = True
    default = _("The file could not be stored. Please try again later.")


class SpoiltPart(ExportError):
    """The file of a finished part is missing or changed. `part` is the part's primary key."""

    code = "spoilt_part"
    retryable = True
    default = _("A part of the file was damaged in storage more than once. Please try again later.")
    part = 0

    @classmethod
    def of(cls, part: int) -> SpoiltPart:
        error = cls()
        error.part = part
        return error


class NoMemory(ExportError):
    code = "no_memory"
    retryable = True
    default = _(
        "There was not enough memory for the file. We have been notified; try again later, or choose a shorter period."
    )


class DatabaseAway(ExportError):
    code = "database_away"
    retryable = True
    first_wait = 5  # short: the database was back when this was recorded
    default = _("The database was unavailable for too long. Please try again later.")


class WorkerDied(ExportError):
    """Every attempt ended without reporting a result: killed, out of memory, or crashed."""

    code = "worker_died"
    default = _(
        "The export stopped unexpectedly each time we tried it. It was reported to us; please try a shorter period."
    )


MYSQL_AWAY = frozenset([*range(2000, 3000), 1040, 1053, 1205, 1213, 1927, 4031])
"""Errors of MySQL that pass: of the client's connection; too many connections, shutdown, lock timeout, deadlock,
connection killed, client disconnected (https://dev.mysql.com/doc/mysql-errors/8.0/en/server-error-reference.html)."""
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def from_exception(error: Exception, otherwise: type[ExportError]) -> ExportError:
    """Return the ExportError for `error`: `otherwise`, if there is no more specific class."""
    match error:
        case ExportError():
            return error
        case OperationalError() | InterfaceError() | InternalError() if _is_of_connection(error):
            return DatabaseAway()
        case OSError(errno=code) if code in NO_ROOM:
            return DiskFull()
        case MemoryError():
            return NoMemory()
        case OSError() if otherwise is not DatasetFailed:  # a dataset may read other files
            return StorageFailed()
        case _:
            return otherwise()


def of_cell(error: Exception, key: object, column: Text) -> ExportError:
    """Return the ExportError for an exception that a dataset's own code raised on the value of one cell."""
    known = from_exception(error, DatasetFailed)
    is_dataset_fault = type(known) is DatasetFailed  # not of the database or of memory
    return DatasetFailed.at(key, column) if is_dataset_fault else known


def _is_of_connection(error: Exception) -> bool:
    """Return whether the error is that of a lost connection, and not another of the same class.

    SQLite and MySQL also raise OperationalError for invalid SQL. psycopg raises InternalError without an SQLSTATE if a
    broken connection returns two results, or none.
    """
    code = next(iter(error.args), None)
    if isinstance(code, int):  # of MySQL or MariaDB
        return code in MYSQL_AWAY
    if isinstance(error, InternalError):
        return getattr(error.__cause__, "sqlstate", "") is None
    return getattr(error.__cause__, "sqlite_errorcode", None) != sqlite3.SQLITE_ERROR


@contextmanager
def errors_as(otherwise: type[ExportError]) -> Iterator[None]:
    """Raise exceptions inside the block as ExportError: `otherwise`, if there is no more specific class."""
    try:
        yield
    except (LeaseLost, SoftTimeLimitExceeded, ExportError):
        raise
    except Exception as error:
        raise from_exception(error, otherwise) from error
