"""Estimate a request before it is made: its rows, the size of its file, and the time until it is ready."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import ceil

from django.contrib.auth.models import AbstractBaseUser
from django.db import OperationalError, connection, transaction
from django.utils import timezone

from exports.conf import export_settings
from exports.datasets import datasets
from exports.datasets.estimate import Certainty, Rows, by_planner
from exports.forecast.load import load_beside
from exports.intake.choices import Choice, ExportRequest, choose, choose_period
from exports.models.period import Period
from exports.pipeline.rates import Rate, bundle_rate, rate_of

logger = logging.getLogger(__name__)
STARTING = 0.5
"""Seconds for planning and messages, for an export of any size."""
QUERY_TIMEOUT = 250
"""Milliseconds that one query may take in PostgreSQL: an estimate is useless if the user has to wait for it."""
NEWEST = 2**62


@dataclass(frozen=True)
class Estimate:
    """The estimate for a request. If the dataset cannot estimate its rows, `rows`, `size` and `seconds` are None."""

    rows: Rows | None = None
    size: int | None = None
    """Bytes."""
    seconds: float | None = None
    """From the request until the file is ready, including the wait for its turn."""
    starts_in: float = 0.0
    """Seconds of that wait."""
    ahead: int = 0
    """Number of exports that get a turn first."""
    measured: bool = False
    """False if it uses a default rate, because this site has not measured exports of this kind."""

    @property
    def more(self) -> bool:
        """Whether the estimate is a lower bound."""
        return self.rows is not None and self.rows.certainty is Certainty.MORE


@dataclass(frozen=True)
class _File:
    """One of the files of the export."""

    rows: int
    rate: Rate

    @property
    def parts(self) -> int:
        return max(1, ceil(self.rows / self.rate.rows_per_part))


def estimate_request(user: AbstractBaseUser, request: ExportRequest) -> Estimate:
    """Return the estimate for a request. Raise BadRequest, NoPermission and DatasetFailed as `request_export` does."""
    choice = choose(user, request)
    now = timezone.now()
    zone = export_settings().zone_of(user)
    _choice, frozen = choose_period(choice.datasets, request, zone=zone, now=now)
    return _estimate_choice(user, choice, replace(frozen, asked_at=now))


def _estimate_choice(user: AbstractBaseUser, choice: Choice, period: Period) -> Estimate:
    rows = {key: _rows_of(user, key, period) for key in choice.datasets}
    known = [each for each in rows.values() if each is not None]
    if len(known) < len(rows):
        return Estimate()
    width = len(choice.fields) or None
    files = [
        _File(each.number, rate_of(key, kind, width))
        for key, each in zip(rows, known, strict=True)
        for kind in choice.inside or [choice.format]
    ]
    return _estimate(user, choice, sum(known, Rows(0)), files)


def _estimate(user: AbstractBaseUser, choice: Choice, rows: Rows, files: list[_File]) -> Estimate:
    load, lanes = load_beside(user.pk, NEWEST), max(file.rate.lanes for file in files)
    wait = load.wait(NEWEST, lanes, published=False)
    share = min(load.share(lanes), sum(file.parts for file in files))
    writing = sum(file.rows * file.rate.seconds_per_row for file in files) / share
    size = sum(file.rows * file.rate.bytes_per_row for file in files)
    joining = sum(file.rows * file.rate.joining_per_row for file in files)
    measured = all(file.rate.measured for file in files)
    if choice.inside:
        whole, bundle = sum(file.rows for file in files), bundle_rate(",".join(choice.datasets), choice.format)
        measured = measured and bundle is not None
        size, joining = (bundle.bytes * whole, bundle.joining * whole) if bundle else (size, joining)
    seconds = STARTING + wait + writing + joining
    return Estimate(rows, round(size), seconds, wait, load.ahead(NEWEST), measured)


def _rows_of(user: AbstractBaseUser, key: str, period: Period) -> Rows | None:
    """Return the estimated rows of a dataset, or None if its code fails or the database takes too long."""
    dataset = datasets.get(key)
    try:
        try:
            with _time_limit():
                return dataset.estimate(user, period)
        except OperationalError:  # it took too long
            guess = by_planner(dataset.selected(user, period))
            return None if guess is None else Rows(guess, Certainty.ABOUT)
    except Exception:
        logger.warning("The dataset %s could not estimate its rows for user %s.", key, user.pk, exc_info=True)
        return None


@contextmanager
def _time_limit() -> Iterator[None]:
    """Let PostgreSQL cancel queries that take longer than QUERY_TIMEOUT."""
    if connection.vendor != "postgresql":
        yield
        return
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = %s", [QUERY_TIMEOUT])
        yield
        cursor.execute("SET LOCAL statement_timeout = DEFAULT")
