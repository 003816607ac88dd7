from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.module_loading import autodiscover_modules


class ExportsConfig(AppConfig):
    name = "exports"
    verbose_name = "Exports"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from exports import checks, formats, signals  # noqa: F401 - they import models, which exist only from here on
        from exports.upkeep import clocks, wiring  # noqa: F401 - they import models, which exist only from here on

        formats.load_builtin()
        autodiscover_modules("datasets")
        wiring.connect()
        post_migrate.connect(_install_schedules, sender=self)


def _install_schedules(**_: Any) -> None:
    from exports.upkeep import schedules

    schedules.install()
