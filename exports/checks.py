"""System checks: what would fail or go wrong later is refused at the start, with how to fix it."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from celery import current_app
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004
from django.core.exceptions import FieldDoesNotExist, FieldError, ObjectDoesNotExist
from django.core.files.storage import storages

from exports.conf import export_settings
from exports.datasets import Dataset, datasets, declared
from exports.storage.base import Store


@register(Tags.compatibility)
def check_settings(**_: Any) -> list[CheckMessage]:
    """EXPORTS holds known keys with sensible values."""
    try:
        config = export_settings()
    except TypeError as error:
        return [
            Error(
                f"The EXPORTS setting has a wrong key: {error}.",
                hint="The keys stand in exports/conf.py.",
                id="exports.E001",
            )
        ]
    positive = (
        "keep_days",
        "part_seconds",
        "window",
        "max_open_per_user",
        "max_per_hour",
        "max_attempts",
        "link_seconds",
    )
    found: list[CheckMessage] = [
        Error(f"EXPORTS[{name.upper()!r}] must be above zero.", hint="Remove it to get the default.", id="exports.E002")
        for name in positive
        if getattr(config, name) <= 0
    ]
    if not Path(config.scratch_dir).is_absolute():
        found.append(
            Error(
                f"EXPORTS['SCRATCH_DIR'] is relative: {config.scratch_dir}.",
                hint="Give an absolute path: processes have different working directories.",
                id="exports.E008",
            )
        )
    return found


@register(Tags.compatibility)
def check_store(**_: Any) -> list[CheckMessage]:
    """The storage of artifacts is there, and can do what is asked of it."""
    alias = export_settings().storage_alias
    if alias in settings.STORAGES and isinstance(storages[alias], Store):
        return []
    return [
        Error(
            f"STORAGES[{alias!r}], where artifacts lie, is missing, or is no exports.storage.base.Store.",
            hint="Derive its class from exports.storage.base.Store and from the storage, in this order.",
            id="exports.E006",
        )
    ]


@register(Tags.compatibility)
def check_visibility_timeout(**_: Any) -> list[CheckMessage]:
    """Redis must not give a message to a second worker while the first may still be at it."""
    conf = current_app.conf
    visible = conf.broker_transport_options.get("visibility_timeout", 3600)
    if conf.task_time_limit and visible > 2 * conf.task_time_limit:
        return []
    return [
        Error(
            f"The broker's visibility timeout ({visible} s) is not longer than twice the hard time limit "
            f"({conf.task_time_limit} s).",
            hint="Raise broker_transport_options['visibility_timeout'] or lower task_time_limit (celeryconfig.py).",
            id="exports.E003",
        )
    ]


@register(Tags.compatibility)
def check_time_zones(**_: Any) -> list[CheckMessage]:
    """Date-times have a zone: a moment without one is another moment for each reader."""
    if settings.USE_TZ:
        return []
    return [
        Error(
            "USE_TZ is False, so date-times have no time zone and cannot be exported.",
            hint="Set USE_TZ = True, as Django does by default.",
            id="exports.E019",
        )
    ]


@register(Tags.compatibility)
def check_datasets(**_: Any) -> list[CheckMessage]:
    """Each dataset has a key that fits into addresses, columns of different names, and rows that can be exported."""
    return [fault for dataset in datasets for fault in _faults_of(dataset)]


def _faults_of(dataset: Dataset) -> Iterator[CheckMessage]:
    if not re.fullmatch(r"[\w.-]+", dataset.key):
        yield Error(
            f"The dataset key {dataset.key!r} has other characters than letters, digits, _, - and dots.",
            hint="Keys stand in addresses, in file names, and with commas between them.",
            obj=type(dataset),
            id="exports.E005",
        )
    two = declared.clash(dataset.columns)
    if two or not dataset.columns:
        which = f": {two[0].name!r} and {two[1].name!r}" if two else ""
        yield Error(
            f"The dataset {dataset.key!r} has no columns, or two of one name{which}.",
            hint="Give each column its own name, not only in capitals. A MONEY column has a second: <name>_currency.",
            obj=type(dataset),
            id="exports.E004",
        )
    user = _nobody()
    reasons = _asked(lambda: dataset.faults(user, dataset.columns))
    for reason in reasons:
        yield Error(f"The dataset {dataset.key!r} cannot be exported. {reason}", obj=type(dataset), id="exports.E007")
    if reasons:  # a warning would name the same fault again
        return
    for reason in _asked(lambda: dataset.doubts(user)):
        yield Warning(f"The dataset {dataset.key!r}: {reason}", obj=type(dataset), id="exports.W007")


def _nobody() -> Any:
    """A user who does not exist."""
    user: Any = get_user_model()()
    if user.pk is None:
        user.pk = 0
    return user


def _asked(question: Callable[[], list[str]]) -> list[str]:
    """What a dataset says of its queryset and columns, as far as a user who does not exist can show it."""
    try:
        return question()
    except ObjectDoesNotExist:  # some are AttributeErrors, too
        return []
    except (FieldError, FieldDoesNotExist, AttributeError, NameError) as error:
        return [f"queryset() fails: {error}."]
    except Exception:  # noqa: BLE001 - it needs a real user, or a database: looked at again at the click
        return []
