from django.apps import AppConfig


class HostConfig(AppConfig):
    name = "tests.hosts.own_tasks"
    label = "host"

    def ready(self) -> None:
        from durable import sweep
        from tests.work.models import Errand

        sweep.register(sweep.SweptModel(Errand, park=lambda row: None))
