"""`manage.py export`: one export from the command line, waited for with a progress bar."""

from __future__ import annotations

import shutil
import time
from argparse import ArgumentParser
from collections.abc import Callable
from contextlib import nullcontext
from datetime import date
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from durable import hints
from exports import inline, storage
from exports.errors import ExportError
from exports.models import Export
from exports.periods import PeriodChoice
from exports.progress import progress_of
from exports.requests import request_export
from exports.states import State

POLL = 0.3
"""Seconds between two looks at the row."""


class Command(BaseCommand):
    help = "Export a dataset for a user and wait for the file."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--user", required=True, metavar="EMAIL", help="whose data; their sign-in name")
        parser.add_argument("--dataset", required=True, metavar="KEY")
        parser.add_argument("--format", required=True, metavar="KEY")
        parser.add_argument(
            "--range", choices=PeriodChoice.values, help="the period (default: ytd, or custom with --from and --to)"
        )
        parser.add_argument("--from", dest="date_from", type=_day, metavar="YYYY-MM-DD")
        parser.add_argument("--to", dest="date_to", type=_day, metavar="YYYY-MM-DD")
        parser.add_argument(
            "--output", type=Path, metavar="FILE", help="copy the file there; a folder takes its own name"
        )
        parser.add_argument("--inline", action="store_true", help="do the work in this process, with no broker")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with hints.muted() if options["inline"] else nullcontext():
                export = self._request(options)
            self._wait(export, options["inline"])
        except ExportError as error:
            raise CommandError(error.message) from error
        if export.state != State.READY:
            raise CommandError(export.error_message or f"The export was {export.get_state_display().lower()}.")
        self.stdout.write(f"{export.rows} rows, {export.size} bytes, SHA-256 {export.sha256}")
        if options["output"]:
            self.stdout.write(str(_copy(export, options["output"])))

    def _request(self, options: dict[str, Any]) -> Export:
        dates = {"date_from": options["date_from"], "date_to": options["date_to"]}
        custom = any(dates.values())
        if custom and options["range"] not in (None, PeriodChoice.CUSTOM):
            raise CommandError("--range and --from/--to name two periods. Give one of them.")
        period = PeriodChoice.CUSTOM if custom else options["range"] or PeriodChoice.YEAR_TO_DATE
        requested = request_export(
            _user(options["user"]), dataset=options["dataset"], format=options["format"], period=period, **dates
        )
        if requested.existing:
            self.stderr.write("The same export is under way already; waiting for it.")
        return requested.export

    def _wait(self, export: Export, in_this_process: bool) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[rows]}"),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(export.get_state_display(), total=None, rows="")
            tell = _teller(bar, task)
            if in_this_process:
                inline.carry_out(export, tell)
            else:
                _watch(export, tell)


def _day(text: str) -> date:
    return date.fromisoformat(text)


def _user(email: str) -> AbstractBaseUser:
    people = get_user_model()
    user = people._default_manager.filter(**{people.USERNAME_FIELD: email}).first()
    if user is None:
        raise CommandError(f"There is no user {email}.")
    return user


def _teller(bar: Progress, task: TaskID) -> Callable[[Export], None]:
    def tell(export: Export) -> None:
        now = progress_of(export)
        bar.update(
            task,
            description=export.get_state_display(),
            total=now.rows_total,
            completed=now.rows_done,
            rows=f"{now.rows_done:,} of {now.rows_total:,} rows" if now.rows_total is not None else "",
        )

    return tell


def _watch(export: Export, tell: Callable[[Export], None]) -> None:
    while export.is_open:
        time.sleep(POLL)
        export.refresh_from_db()
        tell(export)


def _copy(export: Export, target: Path) -> Path:
    path = target / export.filename if target.is_dir() else target
    with storage.open_artifact(export.artifact) as source, path.open("wb") as out:
        shutil.copyfileobj(source, out, storage.BLOCK)
    return path
