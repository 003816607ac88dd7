"""`manage.py export`: request an export and wait for it with a progress bar."""

from __future__ import annotations

import shutil
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
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
from exports.errors import ExportError
from exports.forecast import progress
from exports.intake.choices import ExportRequest
from exports.intake.requests import request_export
from exports.models import Export
from exports.models.period import PeriodChoice
from exports.pipeline import inline
from exports.states import State
from exports.storage import artifacts
from exports.web.humanize import duration

POLL = 0.3
"""Seconds between two reads of the row."""


class Command(BaseCommand):
    help = "Export a dataset for a user and wait for the file."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--user", required=True, metavar="EMAIL", help="sign-in name of the owner")
        parser.add_argument(
            "--dataset",
            required=True,
            action="append",
            metavar="KEY",
            help="repeat it for a bundle of several datasets",
        )
        parser.add_argument("--format", required=True, metavar="KEY")
        parser.add_argument("--inside", type=_names, metavar="KEY,KEY", help="the formats of the files in a bundle")
        parser.add_argument("--fields", type=_names, metavar="NAME,NAME", help="the columns, in order (default: all)")
        parser.add_argument(
            "--option",
            action="append",
            default=[],
            metavar="NAME=VALUE",
            help="an option of the format; may be repeated",
        )
        parser.add_argument(
            "--range",
            choices=PeriodChoice.values,
            help="the period (default: ytd, or all for datasets without dates)",
        )
        parser.add_argument("--from", dest="date_from", type=_day, metavar="YYYY-MM-DD")
        parser.add_argument("--to", dest="date_to", type=_day, metavar="YYYY-MM-DD")
        parser.add_argument(
            "--output", type=Path, metavar="FILE", help="copy the file there; in a folder it keeps its own name"
        )
        parser.add_argument("--inline", action="store_true", help="do the work in this process, without a broker")

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
            for path in _copies(export, options["output"]):
                self.stdout.write(str(path))

    def _request(self, options: dict[str, Any]) -> Export:
        dates = {"date_from": options["date_from"], "date_to": options["date_to"]}
        custom = any(dates.values())
        if custom and options["range"] not in (None, PeriodChoice.CUSTOM):
            raise CommandError("--range and --from/--to are two different periods. Give one of them.")
        period = PeriodChoice.CUSTOM if custom else options["range"]
        request = ExportRequest(
            dataset=options["dataset"],
            format=options["format"],
            inside=options["inside"],
            fields=options["fields"],
            options=dict(map(_option, options["option"])),
            period=period,
            **dates,
        )
        requested = request_export(_user(options["user"]), request)
        if requested.existing:
            self.stderr.write("The same export is already under way. Waiting for it.")
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
            show = _progress_callback(bar, task)
            if in_this_process:
                inline.run_inline(export, show)
            else:
                _watch(export, show)


def _day(text: str) -> date:
    return date.fromisoformat(text)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _option(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise CommandError(f"--option {text} has no value. Write it as NAME=VALUE.")
    return name, value


def _user(email: str) -> AbstractBaseUser:
    people = get_user_model()
    user = people._default_manager.filter(**{people.USERNAME_FIELD: email}).first()
    if user is None:
        raise CommandError(f"There is no user {email}.")
    return user


def _progress_callback(bar: Progress, task: TaskID) -> Callable[[Export], None]:
    def show(export: Export) -> None:
        now = progress.progress_of(export)
        bar.update(
            task,
            description=export.get_state_display(),
            total=now.rows_total,
            completed=now.rows_done,
            rows=", ".join(_words(now)),
        )

    return show


def _words(now: progress.Progress) -> Iterator[str]:
    if now.rows_total is not None:
        yield f"{now.rows_done:,} of {now.rows_total:,} rows"
    if now.seconds_left is not None:
        yield f"about {duration(now.seconds_left)} left"


def _watch(export: Export, show: Callable[[Export], None]) -> None:
    while export.is_open:
        time.sleep(POLL)
        export.refresh_from_db()
        show(export)


def _copies(export: Export, target: Path) -> Iterator[Path]:
    """Copy the file to `target`, and further volumes of a bundle to the same folder under their own names."""
    first = target / export.filename if target.is_dir() else target
    yield _copy(export.artifact, first)
    for volume in export.volumes.all():
        yield _copy(volume.artifact, first.parent / volume.filename)


def _copy(artifact: str, path: Path) -> Path:
    with artifacts.open_artifact(artifact) as source, path.open("wb") as out:
        shutil.copyfileobj(source, out, artifacts.BLOCK)
    return path
