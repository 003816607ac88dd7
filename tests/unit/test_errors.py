"""The error tree: a message for the owner, a code for programs, and the flag that decides on a retry."""

from __future__ import annotations

import errno
import pickle
from collections.abc import Iterator

import psycopg
import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.db import IntegrityError, InterfaceError, InternalError, OperationalError

from durable.lease import LeaseLost
from exports.errors import (
    BadRequest,
    DatabaseAway,
    DatasetFailed,
    DiskFull,
    ExportError,
    FormatFailed,
    Mismatch,
    NoMemory,
    NoPermission,
    SourceAway,
    SpoiltPart,
    StorageFailed,
    errors_as,
    from_exception,
)


def tree(root: type[ExportError] = ExportError) -> Iterator[type[ExportError]]:
    yield root
    for child in root.__subclasses__():
        yield from tree(child)


@pytest.mark.parametrize("kind", list(tree()), ids=lambda kind: kind.__name__)
def test_an_error_survives_pickling(kind: type[ExportError]) -> None:
    error = pickle.loads(pickle.dumps(kind("A sentence.")))
    assert (type(error), error.message, str(error), error.code) == (kind, "A sentence.", "A sentence.", kind.code)


@pytest.mark.parametrize("kind", list(tree()), ids=lambda kind: kind.__name__)
def test_an_error_has_a_default_message(kind: type[ExportError]) -> None:
    assert kind().message.endswith(".")


def test_codes_are_unique() -> None:
    codes = [kind.code for kind in tree()]
    assert len(codes) == len(set(codes))


def test_bad_requests_are_never_retried() -> None:
    assert not any(kind.retryable for kind in tree(BadRequest))


def test_transient_errors_are_retried() -> None:
    assert {kind for kind in tree() if kind.retryable} == {
        Mismatch,
        DiskFull,
        StorageFailed,
        SpoiltPart,
        NoMemory,
        DatabaseAway,
        SourceAway,
    }


@pytest.mark.parametrize(
    ("raised", "known"),
    [
        (OperationalError("gone"), DatabaseAway),
        (InterfaceError("closed"), DatabaseAway),
        (OSError(errno.ENOSPC, "No space left on device"), DiskFull),
        (OSError(errno.EDQUOT, "Quota exceeded"), DiskFull),
        (OSError(errno.EFBIG, "File too large"), DiskFull),
        (OSError(errno.EIO, "Input/output error"), StorageFailed),
        (OSError(errno.EROFS, "Read-only file system"), StorageFailed),
        (PermissionError(errno.EACCES, "Permission denied"), StorageFailed),
        (FileNotFoundError(errno.ENOENT, "No such file or directory"), StorageFailed),
        (OSError(errno.EMFILE, "Too many open files"), StorageFailed),
        (TimeoutError(errno.ETIMEDOUT, "Connection timed out"), StorageFailed),
        (MemoryError(), NoMemory),
        (IntegrityError("no"), FormatFailed),
        (ValueError("no"), FormatFailed),
        (NoPermission(), NoPermission),
    ],
    ids=repr,
)
def test_every_exception_maps_to_an_export_error(raised: Exception, known: type[ExportError]) -> None:
    assert type(from_exception(raised, FormatFailed)) is known


def test_an_internal_error_of_the_client_is_a_connection_error() -> None:
    """PgBouncer causes "received 2 results from command 'COMMIT'" after the server's process was terminated."""
    broken, bad = InternalError("2 results"), InternalError("a cursor of the dataset's own")
    broken.__cause__, bad.__cause__ = psycopg.InternalError(), psycopg.errors.InternalError_()
    assert type(from_exception(broken, DatasetFailed)) is DatabaseAway
    assert type(from_exception(bad, DatasetFailed)) is DatasetFailed


def test_an_unexpected_exception_becomes_the_given_error() -> None:
    with pytest.raises(DatasetFailed) as caught, errors_as(DatasetFailed):
        raise ZeroDivisionError
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize("passing", [LeaseLost(), SoftTimeLimitExceeded(), NoPermission()], ids=repr)
def test_known_exceptions_are_not_converted(passing: Exception) -> None:
    with pytest.raises(type(passing)) as caught, errors_as(DatasetFailed):
        raise passing
    assert caught.value is passing


@pytest.mark.parametrize(
    ("code", "away"), [(2006, True), (2013, True), (1040, True), (1213, True), (1054, False), (1305, False)]
)
def test_errors_of_mysql_are_told_apart_by_their_number(code: int, away: bool) -> None:
    """MySQL raises OperationalError for a lost connection and for an unknown column."""
    known = from_exception(OperationalError(code, "words"), DatasetFailed)
    assert type(known) is (DatabaseAway if away else DatasetFailed)
