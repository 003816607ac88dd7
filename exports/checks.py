"""System checks of the exports app. Each reports a fault that would otherwise show up later, with a hint."""

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
    """Check the keys and values of the EXPORTS setting."""
    try:
        config = export_settings()
    except TypeError as error:
        return [
            Error(
                f"The EXPORTS setting has an unknown key: {error}.",
                hint="See exports/conf.py for the keys.",
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
        Error(f"EXPORTS[{name.upper()!r}] must be positive.", hint="Remove it to use the default.", id="exports.E002")
        for name in positive
        if getattr(config, name) <= 0
    ]
    if not Path(config.scratch_dir).is_absolute():
        found.append(
            Error(
                f"EXPORTS['SCRATCH_DIR'] is relative: {config.scratch_dir}.",
                hint="Use an absolute path: processes have different working directories.",
                id="exports.E008",
            )
        )
    return found


@register(Tags.compatibility)
def check_store(**_: Any) -> list[CheckMessage]:
    """Check that the storage of artifacts exists and is a Store."""
    alias = export_settings().storage_alias
    if alias in settings.STORAGES and isinstance(storages[alias], Store):
        return []
    return [
        Error(
            f"STORAGES[{alias!r}], the storage of artifacts, is missing or is not an exports.storage.base.Store.",
            hint="Derive its class from exports.storage.base.Store and from the storage class, in this order.",
            id="exports.E006",
        )
    ]


@register(Tags.compatibility)
def check_visibility_timeout(**_: Any) -> list[CheckMessage]:
    """Check that Redis does not deliver a message to a second worker while the first may still be running it."""
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
    """Check that date-times have a time zone. Without one, each reader sees a different point in time."""
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
    """Check that each dataset has a key valid in URLs, columns with distinct names, and rows that can be exported."""
    return [fault for dataset in datasets for fault in _faults_of(dataset)]


def _faults_of(dataset: Dataset) -> Iterator[CheckMessage]:
    if not re.fullmatch(r"[\w.-]+", dataset.key):
        yield Error(
            f"The dataset key {dataset.key!r} has characters other than letters, digits, `_`, `-` and `.`.",
            hint="Keys are used in URLs, in file names and in comma-separated lists.",
            obj=type(dataset),
            id="exports.E005",
        )
    two = declared.clash(dataset.columns)
    if two or not dataset.columns:
        which = f": {two[0].name!r} and {two[1].name!r}" if two else ""
        yield Error(
            f"The dataset {dataset.key!r} has no columns, or two with the same name{which}.",
            hint="Give each column a distinct name, ignoring case. A MONEY column also uses <name>_currency.",
            obj=type(dataset),
            id="exports.E004",
        )
    user = _missing_user()
    reasons = _checked(lambda: dataset.faults(user, dataset.columns))
    for reason in reasons:
        yield Error(f"The dataset {dataset.key!r} cannot be exported. {reason}", obj=type(dataset), id="exports.E007")
    if reasons:  # a warning would repeat the same fault
        return
    for reason in _checked(lambda: dataset.doubts(user)):
        yield Warning(f"The dataset {dataset.key!r}: {reason}", obj=type(dataset), id="exports.W007")


def _missing_user() -> Any:
    """Return a user that is not in the database."""
    user: Any = get_user_model()()
    if user.pk is None:
        user.pk = 0
    return user


def _checked(check: Callable[[], list[str]]) -> list[str]:
    """Return the faults that `check` finds in a dataset, as far as they can be found without a real user."""
    try:
        return check()
    except ObjectDoesNotExist:  # first: some of these are also AttributeErrors
        return []
    except (FieldError, FieldDoesNotExist, AttributeError, NameError) as error:
        return [f"queryset() fails: {error}."]
    except Exception:  # noqa: BLE001 - it needs a real user or a database: checked again at each request
        return []
