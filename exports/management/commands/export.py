"""`manage.py export`: request an export and wait for it, with a line of progress."""

from __future__ import annotations

import shutil
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from datetime import date
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.core.management.base import BaseCommand, CommandError, OutputWrapper

from durable import hints
from exports.errors import ExportError
from exports.forecast import progress
from exports.intake.choices import ExportRequest, everything_of
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
    help = "Export a dataset, or everything of a user, and wait for the file."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--user", required=True, metavar="NAME", help="sign-in name of the owner")
        parser.add_argument(
            "--subject", metavar="EMAIL", help="sign-in name of another user, whose data it is; they are told"
        )
        parser.add_argument("--team", default="", metavar="KEY", help="primary key of the team whose data it is")
        parser.add_argument(
            "--dataset",
            action="append",
            metavar="KEY",
            help="repeat it for a bundle of several datasets",
        )
        parser.add_argument("--format", metavar="KEY")
        parser.add_argument(
            "--everything",
            action="store_true",
            help="all data of the owner in one bundle; the same as neither --dataset nor --format",
        )
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
            "--param",
            action="append",
            default=[],
            metavar="NAME=VALUE",
            help="a parameter of the dataset; may be repeated, also for several values of one parameter",
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
        user = _user(options["user"])
        subject = _user(options["subject"]) if options["subject"] else None
        request = everything_of(subject or user) if _is_everything(options) else self._chosen(options)
        requested = request_export(user, request, subject=subject)
        if requested.export.format != request.format:
            self.stderr.write("The data has several tables: the file is a ZIP with a table for each.")
        if requested.existing:
            self.stderr.write("The same export is already under way. Waiting for it.")
        return requested.export

    def _chosen(self, options: dict[str, Any]) -> ExportRequest:
        dates = {"date_from": options["date_from"], "date_to": options["date_to"]}
        custom = any(dates.values())
        if custom and options["range"] not in (None, PeriodChoice.CUSTOM):
            raise CommandError("--range and --from/--to are two different periods. Give one of them.")
        period = PeriodChoice.CUSTOM if custom else options["range"]
        return ExportRequest(
            dataset=options["dataset"],
            format=options["format"],
            inside=options["inside"],
            fields=options["fields"],
            options=dict(_pair("--option", text) for text in options["option"]),
            params=_params(options["param"]),
            team=options["team"],
            period=period,
            **dates,
        )

    def _wait(self, export: Export, in_this_process: bool) -> None:
        line = ProgressLine(self.stderr)
        try:
            if in_this_process:
                inline.run_inline(export, line.show)
            else:
                _watch(export, line.show)
        finally:
            line.end()


def _is_everything(options: dict[str, Any]) -> bool:
    """Return whether everything was asked for. Raises CommandError for a mixture of everything and choices."""
    choices = ("dataset", "format", "inside", "fields", "option", "param", "team", "range", "date_from", "date_to")
    given = [name for name in choices if options[name]]
    if given and options["everything"]:
        raise CommandError("--everything is all data of the owner, in full. Leave out the other choices.")
    if given and not (options["dataset"] and options["format"]):
        raise CommandError("Give --dataset and --format, or neither of them for everything.")
    return not given


def _day(text: str) -> date:
    return date.fromisoformat(text)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _pair(argument: str, text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise CommandError(f"{argument} {text} has no value. Write it as NAME=VALUE.")
    return name, value


def _params(texts: Sequence[str]) -> dict[str, list[str]]:
    """Return the values of each parameter by its name."""
    found: dict[str, list[str]] = {}
    for text in texts:
        name, value = _pair("--param", text)
        found.setdefault(name, []).append(value)
    return found


def _user(email: str) -> AbstractBaseUser:
    people = get_user_model()
    user = people._default_manager.filter(**{people.USERNAME_FIELD: email}).first()
    if user is None:
        raise CommandError(f"There is no user {email}.")
    return user


class ProgressLine:
    """State, rows and time left: one line that is rewritten in a terminal, and elsewhere a line for each new state."""

    def __init__(self, out: OutputWrapper) -> None:
        self._out = out
        self._in_place = out.isatty()
        self._state = ""
        self._width = 0

    def show(self, export: Export) -> None:
        if not self._in_place and export.state == self._state:
            return
        self._state = export.state
        text = ", ".join([export.get_state_display(), *_words(progress.progress_of(export))])
        if self._in_place:
            self._out.write(f"\r{text:<{self._width}}", style_func=str, ending="")  # in no colour: not an error
            self._out.flush()
            self._width = len(text)
        else:
            self._out.write(text, style_func=str)

    def end(self) -> None:
        if self._width:
            self._out.write("")


def _words(now: progress.Progress) -> Iterator[str]:
    if now.rows_total is not None:
        yield f"{now.rows_done:,} of {now.rows_total:,} rows"
    elif now.rows_done:
        yield f"{now.rows_done:,} rows so far"
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
