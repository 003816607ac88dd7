from types import ModuleType
from typing import Any

from django.apps import AppConfig
from django.core.exceptions import ImproperlyConfigured
from django.db.models.signals import post_migrate
from django.utils.module_loading import autodiscover_modules


class ExportsConfig(AppConfig):
    name = "exports"
    verbose_name = "Exports"
    default_auto_field = "django.db.models.BigAutoField"

    def __init__(self, app_name: str, app_module: ModuleType) -> None:
        try:
            from durable.namesakes import refuse_namesakes
        except ModuleNotFoundError as error:
            import durable

            raise ImproperlyConfigured(
                f"The package 'durable' in {durable.__file__} is not Carryall's: rename or uninstall that package "
                "(docs/how-to/install.md#names-that-clash)."
            ) from error
        refuse_namesakes()  # also if the site does not install durable, which refuses them as well
        super().__init__(app_name, app_module)

    def ready(self) -> None:
        # These import models, which are loaded only now. Checks of apps that are not installed run as well, so that
        # `manage.py check` names all faults at once.
        import durable.checks  # noqa: F401
        import notifications.checks  # noqa: F401
        from exports import checks  # noqa: F401
        from exports.conf import missing_apps

        if missing_apps():  # a check reports them
            return

        # The formats come first: forms list them in the order of registration, and importing a module of one format
        # registers it.
        from exports import formats

        formats.load_builtin()
        from exports import signals, tasks  # noqa: F401
        from exports.upkeep import clocks, wiring  # noqa: F401

        autodiscover_modules("datasets")
        wiring.connect()
        post_migrate.connect(_install_schedules, sender=self)


def _install_schedules(using: str, **_: Any) -> None:
    """Install the schedules after the migration of our own database: others may not be there yet."""
    from durable.databases import connection_of
    from exports.models import Slot
    from exports.upkeep import schedules

    if using == connection_of(Slot).alias:
        schedules.install()
