"""System checks of the exports app. Each reports a fault that would otherwise show up later, with a hint."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004
from django.core.exceptions import FieldDoesNotExist, FieldError, ImproperlyConfigured, ObjectDoesNotExist
from django.core.files.storage import storages
from django.db import connections, router
from django.template import TemplateDoesNotExist, TemplateSyntaxError
from django.template.base import Node, Template
from django.template.loader import get_template
from django.template.loader_tags import BlockNode, ExtendsNode
from django.utils.module_loading import import_string

from durable.celery import site
from durable.celery.broker import driver
from durable.celery.tasks import DurableTask
from durable.conf import given
from durable.databases import unfit
from exports.conf import export_settings, missing_apps
from exports.datasets import Dataset, Nested, datasets, declared
from exports.datasets.owners import nobody
from exports.storage.base import Store
from exports.storage.folder import ArtifactFolder
from notifications.links import page_path
from notifications.pages import base_template

PUBLIC = ("MEDIA_ROOT", "STATIC_ROOT")
MIDDLEWARE = (
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
)
"""What the pages need, in this order. Subclasses count."""
SHORTEST_TOKEN = 16
UNUSABLE = (ImproperlyConfigured, TypeError)
"""Errors of an entry of STORAGES: a class that cannot be imported, or a wrong option."""


@register(Tags.compatibility)
def check_installation(**_: Any) -> list[CheckMessage]:
    """Check that the apps and the middleware that this app needs are installed."""
    faults: list[CheckMessage] = [
        Error(
            f"{name} is not in INSTALLED_APPS, so exports do not work.",
            hint=f'Add "{name}" to INSTALLED_APPS, and run `manage.py migrate`.',
            id="exports.E020",
        )
        for name in missing_apps()
    ]
    classes = list(_middleware())
    faults += [
        Error(
            f"{path} is not in MIDDLEWARE, so the pages of exports do not work.",
            hint=f'Add "{path}" to MIDDLEWARE, in the order of a new project.',
            id="exports.E021",
        )
        for path in MIDDLEWARE
        if not any(issubclass(each, import_string(path)) for each in classes)
    ]
    return faults


def _middleware() -> Iterator[type]:
    """Yield the classes in MIDDLEWARE. Functions, and paths that cannot be imported, are left out."""
    for path in settings.MIDDLEWARE:
        with suppress(ImportError):
            found = import_string(path)
            if isinstance(found, type):
                yield found


@register(Tags.compatibility)
def check_settings(**_: Any) -> list[CheckMessage]:
    """Check the values of the CARRYALL setting."""
    config = export_settings()
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
        Error(f"CARRYALL[{name.upper()!r}] must be positive.", hint="Remove it to use the default.", id="exports.E002")
        for name in positive
        if (number := getattr(config, name)) is not None and number <= 0
    ]
    found += [
        Error(
            f"CARRYALL[{name!r}] is relative: {folder}.",
            hint="Use an absolute path: processes have different working directories.",
            id="exports.E008",
        )
        for name, folder in (("SCRATCH_DIR", config.scratch_dir), ("ARTIFACT_DIR", config.artifact_dir))
        if not Path(folder).is_absolute()
    ]
    return found


@register(Tags.compatibility)
def check_store(**_: Any) -> list[CheckMessage]:
    """Check that the storage of artifacts exists and is a Store."""
    alias = export_settings().storage_alias
    hint = "Derive its class from exports.storage.base.Store and from the storage class, in this order."
    try:
        if alias is None or isinstance(storages[alias], Store):
            return []
        words = "is not an exports.storage.base.Store."
    except UNUSABLE as error:
        words = f"cannot be used: {error}"
        hint = "Correct the entry, and its OPTIONS."
        if "exports.storage.bucket" in words:
            hint = 'Run `pip install "carryall[s3]"`.'
    return [Error(f"STORAGES[{alias!r}], the storage of artifacts, {words}", hint=hint, id="exports.E006")]


@register(Tags.compatibility)
def check_broker(**_: Any) -> list[CheckMessage]:
    """Check that the library of the broker is installed."""
    if site.fault() or driver(site.installed().app) != "redis" or find_spec("redis") is not None:
        return []
    hint = 'Run `pip install "carryall[redis]"`.'
    return [Error("The broker of Celery is Redis, whose library is not installed.", hint=hint, id="exports.E022")]


@register(Tags.compatibility)
def check_folders(**_: Any) -> list[CheckMessage]:
    """Check that the folders of files are private, are kept, and can be written."""
    faults: list[CheckMessage] = []
    for setting, folder in _folders().items():
        if public := next((name for name in PUBLIC if _is_within(folder, name)), None):
            words = f"{setting} is {folder}, inside {public}: a web server that serves {public} serves people's files."
            hint = f"Set {setting} to a folder outside {public}."
            faults.append(Warning(words, hint=hint, id="exports.W008"))
        present = next(path for path in (folder, *folder.parents) if path.exists())
        if not present.is_dir() or not os.access(present, os.W_OK | os.X_OK):
            words = f"{setting} is {folder}, which this process cannot write: {present} does not allow it."
            hint = f"Give the user of the web server and the workers write access to it, or change {setting}."
            faults.append(Warning(words, hint=hint, id="exports.W009"))
    if not hasattr(settings, "BASE_DIR") and export_settings().storage_alias is None and "ARTIFACT_DIR" not in given():
        words = f"The settings have no BASE_DIR, so finished files are in {export_settings().artifact_dir}."
        hint = "Set CARRYALL['ARTIFACT_DIR'] to an absolute path: the system empties its folder of temporary files."
        faults.append(Warning(words, hint=hint, id="exports.W010"))
    return faults


def _folders() -> dict[str, Path]:
    """Return the folders that this site writes, by the setting that names each."""
    config = export_settings()
    folders = {"CARRYALL['SCRATCH_DIR']": Path(config.scratch_dir)}
    if config.storage_alias is None:
        folders["CARRYALL['ARTIFACT_DIR']"] = Path(config.artifact_dir)
    else:
        with suppress(*UNUSABLE):  # check_store reports it
            if isinstance(store := storages[config.storage_alias], ArtifactFolder):
                folders[f"STORAGES[{config.storage_alias!r}]"] = Path(store.location)
    return folders


def _is_within(folder: Path, setting: str) -> bool:
    """Return whether the folder is in the one that this setting names."""
    root = getattr(settings, setting)
    return bool(root) and folder.resolve().is_relative_to(Path(root).resolve())


@register(Tags.compatibility)
def check_visibility_timeout(**_: Any) -> list[CheckMessage]:
    """Check that Redis does not deliver a message to a second worker while the first may still be running it."""
    if site.fault() or driver(app := site.installed().app) != "redis":
        return []
    visible = app.conf.broker_transport_options.get("visibility_timeout", 3600)
    limit = max(task.time_limit for task in app.tasks.values() if isinstance(task, DurableTask))
    if visible > 2 * limit:
        return []
    return [
        Error(
            f"The broker's visibility timeout ({visible} s) is not longer than twice the time limit of our tasks "
            f"({limit} s).",
            hint=f"Raise visibility_timeout in your Celery setting broker_transport_options to {3 * limit}.",
            id="exports.E003",
        )
    ]


@register(Tags.security)
def check_metrics(**_: Any) -> list[CheckMessage]:
    """Check that the page of metrics can answer, and that its token cannot be guessed."""
    token = export_settings().metrics_token
    faults: list[CheckMessage] = []
    if token and find_spec("prometheus_client") is None:
        words = "CARRYALL['METRICS_TOKEN'] is set, but prometheus-client is not installed: the page answers with 404."
        faults.append(Warning(words, hint='Run `pip install "carryall[metrics]"`.', id="exports.W011"))
    if token and len(token) < SHORTEST_TOKEN:
        words = f"CARRYALL['METRICS_TOKEN'] has fewer than {SHORTEST_TOKEN} characters, and could be guessed."
        hint = "Make one with `python -c 'import secrets; print(secrets.token_urlsafe())'`."
        faults.append(Warning(words, hint=hint, id="exports.W012"))
    return faults


@register(Tags.compatibility)
def check_time_zones(**_: Any) -> list[CheckMessage]:
    """Check that Beat does not write aware date-times in a site without them."""
    if settings.USE_TZ or not getattr(settings, "DJANGO_CELERY_BEAT_TZ_AWARE", True):
        return []
    return [
        Error(
            "USE_TZ is False, so django-celery-beat would store wrong times, or fail.",
            hint="Set DJANGO_CELERY_BEAT_TZ_AWARE = False.",
            id="exports.E019",
        )
    ]


@register(Tags.urls)
def check_pages(**_: Any) -> list[CheckMessage]:
    """Check that the site's URLs include the pages: notifications and mails link to them."""
    if missing := [name for name in ("exports:list", "notifications:list") if not page_path(name)]:
        return [
            Warning(
                f"The URLs of the site lack {' and '.join(missing)}, so notifications and mails have no links.",
                hint='Add path("me/", include("exports.urls")) to ROOT_URLCONF, outside of other namespaces.',
                id="exports.W030",
            )
        ]
    if apps.is_installed("django_htmx"):
        return []
    return [
        Warning(
            "django_htmx is not in INSTALLED_APPS. Unless the site loads htmx itself, pages show progress only after a "
            "reload.",
            hint='Add "django_htmx" to INSTALLED_APPS.',
            id="exports.W031",
        )
    ]


@register(Tags.templates)
def check_base_template(**_: Any) -> list[CheckMessage]:
    """Check that the base template of the site shows the content of our pages: without the block, they are empty."""
    if not page_path("exports:list"):
        return []
    try:
        page = _compiled("exports/base.html")
        block, base = _block_of_content(page), _base_of(page)
        shown = block in _blocks(base) if base else True
    except (TemplateDoesNotExist, TemplateSyntaxError) as error:
        return [
            Error(
                f"The base template of our pages cannot be loaded: {type(error).__name__}: {error}.",
                hint="Correct CARRYALL['BASE_TEMPLATE'], or the template. It needs a DjangoTemplates backend.",
                id="exports.E032",
            )
        ]
    if block and shown:
        return []
    where = f"{base} has no block {block!r}" if block else "exports/base.html has no block 'carryall_content'"
    return [
        Error(
            f"The template {where}, so our pages would be empty.",
            hint="Add the block, name a template that has it in CARRYALL['BASE_TEMPLATE'], or write an "
            "exports/base.html of your own: docs/how-to/templates.md.",
            id="exports.E033",
        )
    ]


def _compiled(name: str) -> Template:
    template: Any = get_template(name)  # of the DjangoTemplates backend, whose wrapper has the compiled template
    compiled: Template = template.template
    return compiled


def _nodes(part: Any, kind: type[Node]) -> list[Any]:
    """Return the nodes of this kind in a template or a block."""
    return list(part.nodelist.get_nodes_by_type(kind))


def _block_of_content(page: Template) -> str:
    """Return the name of the block of exports/base.html that has the content of a page, or ""."""
    for block in _nodes(page, BlockNode):
        if "carryall_content" in [inner.name for inner in _nodes(block, BlockNode)]:
            return str(block.name)
    return ""


def _base_of(template: Template) -> str:
    """Return the name of the template that this one extends, or "" if it extends none or is known only at rendering."""
    for node in _nodes(template, ExtendsNode):
        parent = node.parent_name
        if not parent.filters and isinstance(parent.var, str):
            return parent.var
        return base_template() if parent.token == "carryall_base" else ""  # noqa: S105 - a token of a template
    return ""


def _blocks(name: str) -> set[str]:
    """Return the names of the blocks of a template and of those that it extends."""
    template = _compiled(name)
    base = _base_of(template)
    return {str(block.name) for block in _nodes(template, BlockNode)} | (_blocks(base) if base else set())


@register(Tags.compatibility)
def check_databases(**_: Any) -> list[CheckMessage]:
    """Check the database of our own tables: that it is one, and that it suits them. Connects to none."""
    if missing_apps():
        return []
    ours = [*apps.get_app_config("exports").get_models(), *apps.get_app_config("notifications").get_models()]
    aliases = sorted({router.db_for_write(model) for model in ours})
    if len(aliases) > 1:
        return [
            Error(
                f"The tables of exports and notifications are in several databases: {', '.join(aliases)}.",
                hint="Let the router return the same database for both apps: one transaction writes to both.",
                id="exports.E023",
            )
        ]
    connection = connections[aliases[0]]
    if fault := unfit(connection):
        return [Error(fault, id="exports.E024")]
    if connection.settings_dict["TIME_ZONE"] and connection.vendor != "postgresql":
        return [
            Error(
                f"DATABASES[{connection.alias!r}]['TIME_ZONE'] is set, but Carryall's tables hold UTC.",
                hint="Remove it, or put Carryall's tables into another database with a router.",
                id="exports.E025",
            )
        ]
    return []


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
    for column in dataset.columns:
        if isinstance(column, Nested) and f"{dataset.key}.{column.name}" in datasets:
            yield Error(
                f"The table of the nested column {column.name!r} of {dataset.key!r} has the key of another dataset.",
                hint=f"Give the dataset '{dataset.key}.{column.name}' another key.",
                obj=type(dataset),
                id="exports.E004",
            )
    owner = nobody(dataset.owner_model)
    reasons = _checked(lambda: dataset.faults(owner, dataset.columns)) or _faults_of_model(dataset)
    for reason in reasons:
        yield Error(f"The dataset {dataset.key!r} cannot be exported. {reason}", obj=type(dataset), id="exports.E007")
    if reasons:  # a warning would repeat the same fault
        return
    for reason in _checked(lambda: dataset.doubts(owner)):
        yield Warning(f"The dataset {dataset.key!r}: {reason}", obj=type(dataset), id="exports.W007")


def _faults_of_model(dataset: Dataset) -> list[str]:
    """Return why the model of the rows, which nested columns need, cannot be found."""
    try:
        _ = any(isinstance(column, Nested) for column in dataset.columns) and dataset.model_of_rows
    except ImproperlyConfigured as error:
        return [str(error)]
    return []


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
