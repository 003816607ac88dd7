"""System checks of leased work and of the settings that all apps share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004
from django.utils.module_loading import import_string

from durable.conf import CELERY, durable_settings, unknown_keys
from durable.databases import connection_of, unfit
from durable.jobs import Job, kinds
from durable.models import WorkQuerySet
from durable.namesakes import foreign_modules
from durable.rates import Rate


@register(Tags.compatibility)
def check_keys(**_: Any) -> list[CheckMessage]:
    """Check that an app declares each key of the CARRYALL setting."""
    return [
        Error(
            f"The CARRYALL setting has an unknown key: {key!r}.",
            hint=f"Did you mean {known!r}?" if known else "docs/reference/settings.md lists the keys.",
            id="durable.E001",
        )
        for key, known in unknown_keys()
    ]


@register(Tags.compatibility)
def check_folders(**_: Any) -> list[CheckMessage]:
    """Check that no other package was installed into the folders of our apps: its migrations would count as ours."""
    foreign = foreign_modules()
    if not foreign:
        return []
    return [
        Warning(
            f"Modules in the folders of Carryall's apps are not Carryall's, such as {foreign[0]}.",
            hint="Uninstall the package that they are from, delete what is left of them, and run "
            "`pip install --force-reinstall --no-deps carryall`: docs/how-to/install.md#names-that-clash.",
            id="durable.W002",
        )
    ]


@register(Tags.compatibility)
def check_hints(**_: Any) -> list[CheckMessage]:
    """Check that workers are told of new work. Without it, a request is accepted and stays queued."""
    path = durable_settings().send_hint
    try:
        found = path and import_string(path)
    except ImportError as error:
        return [Error(f"CARRYALL['SEND_HINT'] cannot be imported: {error}", hint=REMOVE, id="durable.E002")]
    if not found:
        return [Error("CARRYALL['SEND_HINT'] is empty: no worker is told of work.", hint=REMOVE, id="durable.E002")]
    return _celery_faults() if path == CELERY else []


REMOVE = f"Remove the key: by default, {CELERY} sends messages with your Celery app."


def _celery_faults() -> list[CheckMessage]:
    from durable.celery import site  # leased work itself needs no Celery

    if fault := site.fault():
        what, fix = fault
        return [Error(f"{what} Work would stay queued.", hint=fix, id="durable.E003")]
    if site.installed().app.conf.task_always_eager:
        return [
            Warning(
                "task_always_eager is True: each export is made within the request, and a step that fails is not "
                "tried again.",
                hint="Use it in tests only. Remove it elsewhere, and start a worker.",
                id="durable.W001",
            )
        ]
    return []


@register(Tags.models)
def check_jobs(**_: Any) -> list[CheckMessage]:
    """Check that jobs can be run as their classes say. Connects to no database."""
    return [fault for kind in kinds() for fault in (*_faults_of_class(kind), *_faults_of_options(kind))]


def _faults_of_class(kind: type[Job]) -> Iterator[CheckMessage]:
    name, meta = kind._meta.label, kind._meta
    if kind.run is Job.run:
        yield Error(
            f"The job {name} has no run().",
            hint="Add `def run(self, lease): ...`. It does the work, and returns a dict or None.",
            obj=kind,
            id="durable.E004",
        )
    named = {"app_label": meta.app_label, "class": meta.model_name}
    given = {each.name for each in (*meta.indexes, *meta.constraints)}
    if not given >= {each.name % named for each in (*Job._meta.indexes, *Job._meta.constraints)}:
        yield Error(
            f"The Meta of the job {name} lacks the indexes and the constraint of Job.",
            hint="Write `class Meta(Job.Meta):`. Lists of its own begin with `*Job.Meta.indexes` and "
            "`*Job.Meta.constraints`.",
            obj=kind,
            id="durable.E005",
        )
    if not issubclass(type(kind._default_manager.all()), WorkQuerySet):
        yield Error(
            f"The manager of the job {name} has no claim().",
            hint="Derive the queryset of its manager from durable.jobs.JobQuerySet.",
            obj=kind,
            id="durable.E006",
        )
    if fault := unfit(connection_of(kind)):
        yield Error(f"The job {name} cannot be in its database. {fault}", obj=kind, id="durable.E007")


def _faults_of_options(kind: type[Job]) -> Iterator[CheckMessage]:
    name = kind._meta.label
    try:
        Rate.of(kind.rate_limit or "1/s")
    except ValueError as error:
        yield Error(
            f"The job {name} cannot start: {error}",
            hint="Correct its rate_limit, or remove it.",
            obj=kind,
            id="durable.E008",
        )
    try:
        isinstance(Exception(), kind.permanent)
    except TypeError:
        yield Error(
            f"The `permanent` of the job {name} is not a tuple of exception classes.",
            hint="Write it like `permanent = (ValueError, KeyError)`.",
            obj=kind,
            id="durable.E009",
        )
    if kind.max_attempts < 1 or not 0 < kind.soft_time_limit < kind.time_limit:
        yield Error(
            f"The job {name} has no attempts, or a soft_time_limit that is not below its time_limit.",
            hint="Set max_attempts to 1 or more, and time_limit to some seconds more than soft_time_limit.",
            obj=kind,
            id="durable.E010",
        )
    if kind.queue != Job.queue and not _has_route(kind):
        yield Error(
            f"The job {name} has the queue {kind.queue!r}, to which no route of your Celery app leads.",
            hint=f'Add one to task_routes, such as {{"durable.jobs.{kind.queue}.*": {{"queue": "{kind.queue}"}}}}, '
            "or correct `queue`.",
            obj=kind,
            id="durable.E011",
        )


def _has_route(kind: type[Job]) -> bool:
    """Return whether the Celery app of the site routes the task of this class. Without Celery, the sender does."""
    if durable_settings().send_hint != CELERY:
        return True
    from durable.celery import site

    return bool(site.fault()) or site.installed().app.amqp.router.lookup_route(kind.task_name(), (), {}, {}) is not None
