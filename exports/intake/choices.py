"""ExportRequest, and its check against the registered datasets, formats, columns and options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib.auth.models import AbstractBaseUser
from django.utils.translation import gettext as _

from exports.datasets import Column, Dataset, datasets
from exports.datasets.access import may_export, teams
from exports.datasets.filtering import Given, RequestParams
from exports.datasets.tables import tables
from exports.errors import (
    BadOption,
    BadRequest,
    BadTeam,
    DatasetFailed,
    NoField,
    NoPermission,
    NothingInside,
    UnknownDataset,
    UnknownField,
    UnknownFormat,
    errors_as,
)
from exports.formats import Format, Kind, bundle, current, formats, options_of, writer
from exports.intake.periods import resolve
from exports.models.period import Period, PeriodChoice

USUALLY_INSIDE = ("csv", "pdf")
"""Default formats in a bundle: one for programs and one for people."""
FOR_PROGRAMS, FOR_PEOPLE = ("json", "csv"), ("pdf", "xlsx")
"""Formats of "Everything of mine": the first of each that is installed and can hold every dataset."""
SHOWN = 20
"""Maximum number of teams that an error lists."""


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
    team: str = ""
    """The primary key of the team whose data it is, for datasets that belong to teams. May be left out by a user with
    one team."""
    params: Given | None = field(default_factory=dict)
    """Values of the datasets' parameters by name, or by `<dataset>.<name>` if several datasets have it. None chooses
    nothing, not even the defaults."""

    @property
    def datasets(self) -> Sequence[str]:
        return [self.dataset] if isinstance(self.dataset, str) else self.dataset


@dataclass(frozen=True)
class Choice:
    """A checked request; `fields` and `options` hold only what differs from the defaults. `params` holds all values."""

    datasets: list[str]
    format: str
    inside: list[str]
    fields: list[str]
    options: dict[str, str]
    params: dict[str, str]
    owner: Any = field(repr=False, compare=False)
    """Whose data it is."""


def choose(user: AbstractBaseUser, request: ExportRequest, subject: Any = None) -> Choice:
    """Check a request for the data of `subject`: by default that of the user, or of the team that the request names.

    Raises BadRequest, NoPermission, and DatasetFailed if the code of a dataset fails. For a dataset that `user` may not
    export, NoPermission comes before any other error. A file that would need several tables, for nested columns,
    becomes a bundle with one format.
    """
    kind = formats.get(request.format)
    known = _known(user, request.datasets)
    owner = subject if subject is not None else _owner(user, known, request.team)
    chosen = _permitted(user, known, owner)
    if len(chosen) > 1 and isinstance(kind, Format):
        raise UnknownDataset(_("%s holds one dataset. Choose one, or a format that takes several.") % kind.label)
    inside = _within(kind, request.inside)
    names = _fields(chosen, request.fields)
    if isinstance(kind, Format) and len(tables_of(chosen, names, kind)) > 1:
        inside, kind = [kind], bundle()
    kinds = [kind, *inside]
    for each in kinds:
        for _table, columns in tables_of(chosen, names, each):
            each.refuse(columns)
    options, params = _options(kinds, request.options), _params(owner, chosen, request.params)
    return Choice(chosen, kind.key, [each.key for each in inside], names, options, params, owner)


def tables_of(keys: Sequence[str], names: Sequence[str], kind: Kind) -> list[tuple[Dataset, list[Column]]]:
    """Return the tables of these datasets in a format, each with its columns: those of `names`, or all."""
    chosen = map(datasets.get, keys)
    objects = isinstance(kind, Format) and kind.holds_objects
    return [table for dataset in chosen for table in tables(dataset, dataset.choose(names), objects=objects)]


def everything_of(user: AbstractBaseUser) -> ExportRequest:
    """Return the request for a bundle of every dataset that `user` may export, for programs and for people.

    Datasets with `in_everything = False` and those of teams are left out. Raises UnknownDataset if there is none, and
    DatasetFailed if the code of a dataset fails: the bundle would lack it.
    """
    with errors_as(DatasetFailed):
        chosen = [each.key for each in datasets if belongs_to_everything(each) and may_export(user, each, user)]
    if not chosen:
        raise UnknownDataset(_("There is no data that you can export."))
    inside = [kind for kinds in (FOR_PROGRAMS, FOR_PEOPLE) for kind in _first_fit(kinds, chosen)]
    return ExportRequest(chosen, "zip", inside=inside, period=PeriodChoice.ALL, params=None)


def belongs_to_everything(dataset: Dataset) -> bool:
    """Return whether "Everything of mine" includes the dataset: teams' data is not a person's own."""
    return dataset.personal and dataset.in_everything and dataset.owner_model is None


def _first_fit(kinds: Sequence[str], chosen: Sequence[str]) -> list[str]:
    """Return the first of the formats that is installed and can hold all columns of each dataset, if there is one."""
    return [key for key in kinds if key in formats and _fits(writer(key), chosen)][:1]


def _fits(kind: Format, chosen: Sequence[str]) -> bool:
    try:
        for _table, columns in tables_of(chosen, [], kind):
            kind.refuse(columns)
    except BadRequest:
        return False
    return True


def _known(user: AbstractBaseUser, keys: Sequence[str]) -> list[Dataset]:
    """Return the datasets without duplicates. Raises UnknownDataset and DatasetFailed."""
    if not keys:
        raise UnknownDataset(_("Choose what to export."))
    with errors_as(DatasetFailed):
        if unknown := next((key for key in keys if key not in datasets), None):
            mine = (dataset.key for dataset in datasets if dataset.personal and dataset.permitted(user))
            known = ", ".join(sorted(mine)) or _("none")
            words = _("There is no dataset %(unknown)r. Choose one of: %(known)s.")
            raise UnknownDataset(words % {"unknown": unknown, "known": known})
    return [datasets.get(key) for key in dict.fromkeys(keys)]


def _owner(user: AbstractBaseUser, known: Sequence[Dataset], team: str) -> Any:
    """Return the user, or the team of datasets that belong to teams. Raises BadTeam, NoPermission and DatasetFailed."""
    if len({dataset.owner_model for dataset in known}) > 1:
        raise BadTeam(_("This data belongs to different owners. Export it separately."))
    if known[0].owner_model is None:
        if team:
            raise BadTeam(_("This data is your own and not that of a team. Leave the team out."))
        return user
    with errors_as(DatasetFailed):
        mine = {str(each.pk): each for each in teams(user, known)}
    if not mine:
        raise NoPermission(_("You have no access to this data."))
    if not team and len(mine) == 1:
        return next(iter(mine.values()))
    if team not in mine:
        listed = ", ".join(f"{key} ({each})" for key, each in list(mine.items())[:SHOWN])
        raise BadTeam(_("Choose whose data to export. You can choose from: %(known)s.") % {"known": listed})
    return mine[team]


def _permitted(user: AbstractBaseUser, known: Sequence[Dataset], owner: Any) -> list[str]:
    """Return the keys of the datasets. Raises NoPermission and DatasetFailed."""
    with errors_as(DatasetFailed):
        if not all(may_export(user, dataset, owner) for dataset in known):
            raise NoPermission(_("You have no access to this data."))
    return [dataset.key for dataset in known]


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


def _params(owner: Any, chosen: Sequence[str], given: Given | None) -> dict[str, str]:
    """Return the values of the parameters as they are stored, with defaults. Raises BadParam and DatasetFailed."""
    if given is None:
        return {}
    with errors_as(DatasetFailed):
        return RequestParams([datasets.get(key) for key in chosen], owner).choose(given)


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
