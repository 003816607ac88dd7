"""Conversion of the errors of the S3 client to OSError, which the rest of the app handles."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

ABSENT = {"404", "NoSuchKey", "NotFound"}
FULL = {"507", "InsufficientStorage", "QuotaExceeded", "XMinioStorageFull"}
"""Codes of other servers of the same protocol. Amazon's buckets have no size limit."""


@contextmanager
def as_oserror() -> Iterator[None]:
    """Raise errors inside the block as OSError: FileNotFoundError for a missing object, ENOSPC for a full store."""
    try:
        yield
    except ClientError as error:
        raise _oserror(error) from error
    except Boto3Error as error:  # of a transfer; its context is the client's own error
        cause = error.__context__
        raise (_oserror(cause) if isinstance(cause, ClientError) else OSError(errno.EIO, str(error))) from error
    except BotoCoreError as error:
        raise OSError(errno.EIO, str(error)) from error


def _oserror(error: ClientError) -> OSError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    message = f"{error.operation_name}: {error}"
    if code in ABSENT:
        return FileNotFoundError(errno.ENOENT, message)
    return OSError(errno.ENOSPC if code in FULL else errno.EIO, message)
