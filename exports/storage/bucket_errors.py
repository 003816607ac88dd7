"""What the client of S3 raises, as the OSError that the rest of the app knows."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

ABSENT = {"404", "NoSuchKey", "NotFound"}
FULL = {"507", "InsufficientStorage", "QuotaExceeded", "XMinioStorageFull"}
"""Not Amazon's, whose buckets have no end: what servers of the same protocol say."""


@contextmanager
def as_oserror() -> Iterator[None]:
    """Inside, every failure is an OSError: FileNotFoundError for an object that is not there, ENOSPC for no room."""
    try:
        yield
    except ClientError as error:
        raise _oserror(error) from error
    except Boto3Error as error:  # of a transfer; the client's own error is behind it
        cause = error.__context__
        raise (_oserror(cause) if isinstance(cause, ClientError) else OSError(errno.EIO, str(error))) from error
    except BotoCoreError as error:
        raise OSError(errno.EIO, str(error)) from error


def _oserror(error: ClientError) -> OSError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    words = f"{error.operation_name}: {error}"
    if code in ABSENT:
        return FileNotFoundError(errno.ENOENT, words)
    return OSError(errno.ENOSPC if code in FULL else errno.EIO, words)
