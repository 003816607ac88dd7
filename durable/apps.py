from types import ModuleType

from django.apps import AppConfig, apps
from django.core.signals import request_finished, request_started

from durable import log_fields
from durable.namesakes import refuse_namesakes


class DurableConfig(AppConfig):
    name = "durable"
    verbose_name = "Durable work"
    default_auto_field = "django.db.models.BigAutoField"

    def __init__(self, app_name: str, app_module: ModuleType) -> None:
        refuse_namesakes()  # before any models are imported, which would fail with an ImportError
        super().__init__(app_name, app_module)

    def ready(self) -> None:
        # These import models, which are loaded only now.
        from durable import checks, jobs  # noqa: F401
        from durable.conf import CELERY, durable_settings

        jobs.connect()
        request_started.connect(log_fields.clear)
        request_finished.connect(log_fields.clear)
        if durable_settings().send_hint == CELERY:  # leased work itself needs no Celery
            from durable.celery import jobs as tasks

            tasks.connect()
        if apps.is_installed("django.contrib.admin"):
            from durable import admin

            admin.connect()
