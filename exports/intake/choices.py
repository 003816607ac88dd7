"""ExportRequest, and its check against the registered datasets, formats, columns and options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import date, datetime
from zoneinfo import ZoneInfo

from django.contrib.auth.models import AbstractBaseUser
from django.utils.translation import gettext as _

from exports.datasets import datasets
from exports.errors import (
    BadOption,
    DatasetFailed,
    NoField,
    NoPermission,
    NothingInside,
    UnknownDataset,
    UnknownField,
    UnknownFormat,
    errors_as,
)
from exports.formats import Format, Kind, current, formats, options_of, writer
from exports.intake.periods import resolve
from exports.models.period import Period, PeriodChoice

USUALLY_INSIDE = ("csv", "pdf")
"""Default formats in a bundle: one for programs and one for people."""
MOST_LETTERS = 255
"""Maximum length of a bundle's comma-separated dataset keys."""


@dataclass(frozen=True)
class ExportRequest:
    """An unchecked request for an export. The form, the API and the command line all create one."""

    dataset: str | Sequence[str]
    """The key of a dataset, or several keys for a bundle."""
    format: str
    _: KW_ONLY
    inside: Sequence[str] | None = None
    """The formats of the files in a bundle; None means USUALLY_INSIDE."""
    period: str | None = None
    """A PeriodChoice. None means from `date_from` to `date_to` if one of them is given, else everything if one of the
    datasets has no dates, else the year to date."""
    date_from: date | None = None
    date_to: date | None = None
    """The first and the last day, both included, in the user's time zone."""
    fields: Sequence[str] | None = None
    """Column names in order; None means all columns."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Options of the formats by name."""

    @property
    def datasets(self) -> Sequence[str]:
        return [self.dataset] if isinstance(self.dataset, str) else self.dataset


@dataclass(frozen=True)
class Choice:
    """A checked request; `fields` and `options` hold only what differs from the defaults."""

    datasets: list[str]
    format: str
    inside: list[str]
    fields: list[str]
    options: dict[str, str]


def choose(user: AbstractBaseUser, request: ExportRequest) -> Choice:
    """Check a request. Raises BadRequest, NoPermission, and DatasetFailed if the code of a dataset fails.

    For a dataset that `user` may not export, NoPermission comes before any other error.
    """
    kind = formats.get(request.format)
    chosen = _permitted(user, request.datasets)
    if len(chosen) > 1 and isinstance(kind, Format):
        raise UnknownDataset(_("%s holds one dataset. Choose one, or a format that takes several.") % kind.label)
    if len(",".join(chosen)) > MOST_LETTERS:
        raise UnknownDataset(_("Too many datasets for one export. Leave some of them out."))
    kinds = [kind, *_within(kind, request.inside)]
    names = _fields(chosen, request.fields)
    for key in chosen:
        columns = datasets.get(key).choose(names)
        for each in kinds:
            each.refuse(columns)
    return Choice(chosen, kind.key, [each.key for each in kinds[1:]], names, _options(kinds, request.options))


def _permitted(user: AbstractBaseUser, keys: Sequence[str]) -> list[str]:
    """Return the keys without duplicates. Raises UnknownDataset, NoPermission and DatasetFailed."""
    if not keys:
        raise UnknownDataset(_("Choose what to export."))
    with errors_as(DatasetFailed):
        if unknown := next((key for key in keys if key not in datasets), None):
            known = ", ".join(sorted(dataset.key for dataset in datasets if dataset.permitted(user))) or _("none")
            words = _("There is no dataset %(unknown)r. Choose one of: %(known)s.")
            raise UnknownDataset(words % {"unknown": unknown, "known": known})
        chosen = [datasets.get(key) for key in dict.fromkeys(keys)]
        if not all(dataset.permitted(user) for dataset in chosen):
            raise NoPermission(_("You have no access to this data."))
    return [dataset.key for dataset in chosen]


def choose_period(keys: Sequence[str], request: ExportRequest, *, zone: ZoneInfo, now: datetime) -> tuple[str, Period]:
    """Return the period of a request for the datasets `keys`: its choice, and its start and end as of `now`.

    Raises BadPeriod for unknown or impossible periods, and for datasets without dates.
    """
    choice, date_from, date_to = request.period, request.date_from, request.date_to
    chosen = [datasets.get(key) for key in keys]
    if choice is None:
        choice = PeriodChoice.CUSTOM if date_from or date_to else PeriodChoice.YEAR_TO_DATE
        if choice != PeriodChoice.CUSTOM and any(dataset.date_field is None for dataset in chosen):
            choice = PeriodChoice.ALL
    period = resolve(choice, date_from, date_to, zone=zone, now=now)
    if not period.is_everything:
        for dataset in chosen:
            dataset.refuse_periods()
    return str(choice), period


def _within(kind: Kind, inside: Sequence[str] | None) -> list[Format]:
    """Return the formats of the files in a bundle; an empty list if `kind` is not a bundle. Raises NothingInside."""
    if isinstance(kind, Format):
        if inside:
            raise NothingInside(_("Only a bundle has formats inside. Leave them out, or choose the bundle."))
        return []
    if inside is not None and not inside:
        raise NothingInside
    usual = [key for key in USUALLY_INSIDE if key in formats]
    try:
        return [writer(key) for key in dict.fromkeys(usual if inside is None else inside)]
    except UnknownFormat as error:
        raise NothingInside(error.message) from error


def _fields(chosen: Sequence[str], fields: Sequence[str] | None) -> list[str]:
    """Return the column names, or an empty list for all columns in their default order. Raises BadRequest."""
    if fields is None:
        return []
    if not fields:
        raise NoField
    if len(chosen) > 1:
        raise UnknownField(_("Fields can be chosen for one dataset. Choose one dataset, or leave the fields out."))
    dataset = datasets.get(chosen[0])
    names = [column.name for column in dataset.choose(fields)]
    return [] if names == [column.name for column in dataset.columns] else names


def _options(kinds: Sequence[Kind], given: Mapping[str, str]) -> dict[str, str]:
    """Return the options of `kinds` that differ from their defaults. Raises BadOption."""
    known, given = options_of(kinds), current(kinds, given)
    for name, value in given.items():
        if name not in known:
            names = ", ".join(known) or _("none")
            raise BadOption(_("There is no option %(name)s. Choose from: %(known)s.") % {"name": name, "known": names})
        values = [each for each, _label in known[name].choices]
        if value not in values:
            raise BadOption(
                _("The option %(name)s cannot be %(value)s. Choose one of: %(known)s.")
                % {"name": name, "value": value, "known": ", ".join(values)}
            )
    return {name: value for name, value in given.items() if value != known[name].default}
