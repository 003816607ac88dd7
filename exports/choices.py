"""What a person asked for, checked against what there is: datasets, format, columns and options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _

from exports.datasets import datasets
from exports.errors import BadOption, UnknownDataset, UnknownField, UnknownFormat
from exports.formats import Format, Kind, formats, writer

USUALLY_INSIDE = ("csv", "pdf")
"""The files of a bundle when nobody says: one that programs read, and one for people."""


@dataclass(frozen=True)
class Choice:
    """A request that can be met; `fields` and `options` hold only what differs from the usual."""

    datasets: list[str]
    format: str
    inside: list[str]
    fields: list[str]
    options: dict[str, str]


def choose(
    keys: Sequence[str], kind_key: str, inside: Sequence[str], fields: Sequence[str], options: Mapping[str, str]
) -> Choice:
    """Check a request. Raises the BadRequest that names what is wrong with it."""
    kind = formats.get(kind_key)
    chosen = [datasets.get(key).key for key in dict.fromkeys(keys)]
    bundle = not isinstance(kind, Format)
    if not chosen:
        raise UnknownDataset(_("Choose what to export."))
    if len(chosen) > 1 and not bundle:
        raise UnknownDataset(_("%s holds one dataset. Choose one, or a format that takes several.") % kind.label)
    if len(chosen) > 1 and fields:
        raise UnknownField(_("Fields can be chosen for one dataset. Choose one dataset, or leave the fields out."))
    if inside and not bundle:
        raise UnknownFormat(_("Only a bundle has formats inside. Leave them out, or choose the bundle."))
    within = [writer(key) for key in dict.fromkeys(inside or USUALLY_INSIDE)] if bundle else []
    for key in chosen:
        columns = datasets.get(key).choose(fields)
        for each in (kind, *within):
            each.refuse(columns)
    return Choice(chosen, kind.key, [each.key for each in within], list(fields), _options([kind, *within], options))


def _options(kinds: Sequence[Kind], given: Mapping[str, str]) -> dict[str, str]:
    """What is chosen otherwise than usual, of the options of `kinds`. Raises BadOption."""
    known = {option.name: option for kind in kinds for option in kind.options}
    for name, value in given.items():
        if name not in known:
            names = ", ".join(known) or _("none")
            raise BadOption(
                _("There is no option %(name)s here. Choose from: %(known)s.") % {"name": name, "known": names}
            )
        values = [each for each, _label in known[name].choices]
        if value not in values:
            raise BadOption(
                _("The option %(name)s cannot be %(value)s. Choose one of: %(known)s.")
                % {"name": name, "value": value, "known": ", ".join(values)}
            )
    return {name: value for name, value in given.items() if value != known[name].default}
