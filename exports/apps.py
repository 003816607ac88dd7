from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.module_loading import autodiscover_modules


class ExportsConfig(AppConfig):
    name = "exports"
    verbose_name = "Exports"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # These import models, which are loaded only now. The formats come first: forms list them in the order of
        # registration, and importing a module of one format registers it.
        from exports import formats

        formats.load_builtin()
        from exports import checks, signals  # noqa: F401
        from exports.upkeep import clocks, wiring  # noqa: F401

        autodiscover_modules("datasets")
        wiring.connect()
        post_migrate.connect(_install_schedules, sender=self)


def _install_schedules(**_: Any) -> None:
    from exports.upkeep import schedules

    schedules.install()
