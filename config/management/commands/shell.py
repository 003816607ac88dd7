from celery import current_app
from django.core.management.commands import shell

OURS = ("exports.tasks.", "notifications.tasks.")


class Command(shell.Command):
    """Django's shell, which imports the models, with the tasks and the functions of requests imported too."""

    def get_auto_imports(self) -> list[str]:
        current_app.loader.import_default_modules()
        return [
            *(super().get_auto_imports() or []),
            "exports.intake.choices.ExportRequest",
            "exports.intake.requests.request_export",
            "exports.intake.requests.cancel_export",
            "exports.intake.requests.retry_export",
            "exports.intake.requests.expire_export",
            "notifications.api.notify",
            *sorted(name for name in current_app.tasks if name.startswith(OURS)),
        ]
