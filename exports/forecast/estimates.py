"""Estimate a request before it is made: its rows, the size of its file, and the time until it is ready."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import ceil

from django.contrib.auth.models import AbstractBaseUser
from django.db import OperationalError, connections, transaction

from durable import clock
from exports.datasets import RowsDataset, Selection, datasets
from exports.datasets.estimate import Certainty, Rows, by_planner
from exports.forecast.load import load_beside
from exports.formats import writer
from exports.intake.choices import Choice, ExportRequest, choose, choose_period, tables_of
from exports.models.period import Period
from exports.pipeline.rates import Rate, bundle_rate, rate_of
from notifications.conf import notification_settings

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
    tables: Sequence[str] = ()
    """Labels of the tables, if a request for one file is delivered as a ZIP with a file for each."""

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
    now = clock.now()
    zone = notification_settings().zone_of(user)
    _choice, frozen = choose_period(choice.datasets, request, zone=zone, now=now)
    found = _estimate_choice(user, choice, replace(frozen, asked_at=now))
    if choice.format == request.format:
        return found
    parts = tables_of(choice.datasets, choice.fields, writer(request.format))
    return replace(found, tables=[str(table.label) for table, _ in parts])


def _estimate_choice(user: AbstractBaseUser, choice: Choice, period: Period) -> Estimate:
    selection = Selection(choice.owner, period, choice.params)
    kinds = [writer(key) for key in choice.inside or [choice.format]]
    made = [(kind, *table) for kind in kinds for table in tables_of(choice.datasets, choice.fields, kind)]
    rows = {key: _rows_of(key, selection) for key in dict.fromkeys(table.key for _, table, _ in made)}
    known = {key: each for key, each in rows.items() if each is not None}
    if len(known) < len(rows):
        return Estimate()
    files = [
        _File(known[table.key].number, rate_of(table.key, kind.key, len(columns))) for kind, table, columns in made
    ]
    return _estimate(user, choice, sum(known.values(), Rows(0)), files)


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


def _rows_of(key: str, selection: Selection) -> Rows | None:
    """Return the estimated rows of a dataset, or None if its code fails or the database takes too long."""
    dataset = datasets.get(key)
    try:
        if isinstance(dataset, RowsDataset):
            return dataset.estimate(selection)
        rows = dataset.selected(selection)
        try:
            with _time_limit(rows.db):
                return dataset.estimate(selection)
        except OperationalError:  # it took too long
            guess = by_planner(rows)
            return None if guess is None else Rows(guess, Certainty.ABOUT)
    except Exception:
        logger.warning("The dataset %s could not estimate its rows for %r.", key, selection.owner, exc_info=True)
        return None


@contextmanager
def _time_limit(alias: str) -> Iterator[None]:
    """Let PostgreSQL cancel queries that take longer than QUERY_TIMEOUT. The site's own timeout is restored."""
    if connections[alias].vendor != "postgresql":
        yield
        return
    with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
        name = "statement_timeout"
        cursor.execute("SELECT current_setting(%s), set_config(%s, %s, true)", [name, name, str(QUERY_TIMEOUT)])
        ((before, _),) = cursor.fetchall()
        yield
        cursor.execute("SELECT set_config(%s, %s, true)", [name, before])
