"""The Celery app of the site: the one that `durable.celery.install` was called with."""

from __future__ import annotations

from typing import NamedTuple

from celery import Celery, current_app
from django.conf import settings


class Site(NamedTuple):
    app: Celery
    module: str
    """The module that called `install`, to be named after `celery -A`."""


_installed: list[Site] = []


class NotInstalled(RuntimeError):
    """Raised if `durable.celery.install` was not called in this process."""


def use(app: Celery, module: str) -> None:
    """Make `app` the app of the site. A later call replaces it."""
    _installed[:] = [Site(app, module)]


def installed() -> Site:
    """Return the site's app and its module. Raise NotInstalled, with the fix in its message."""
    if found := fault():
        raise NotInstalled(" ".join(found))
    return _installed[0]


def queue_of(task: str) -> str:
    """Return the name of the queue of a task, by the site's task_routes. Raise NotInstalled."""
    return str(installed().app.amqp.router.route({}, task)["queue"].name)


def fault() -> tuple[str, str] | None:
    """Return what is wrong and how to fix it if this process does not know the app of the site, else None."""
    if _installed:
        return None
    call = "Call durable.celery.install(app) in the module of your Celery app, after `app = Celery(...)`."
    if current_app.main == "default":  # Celery's own, made when a process uses Celery and has imported no app
        return (
            "This process has imported no Celery app, so messages would go to Celery's default, amqp://localhost.",
            f"Import your Celery app in {_project()}/__init__.py: `from .celery import app as celery_app`. {call}",
        )
    return f"durable.celery.install(app) was not called for the Celery app {current_app.main!r}.", call


def _project() -> str:
    """Return the name of the package that has the site's settings."""
    return str(getattr(settings, "SETTINGS_MODULE", "")).partition(".")[0] or "mysite"
