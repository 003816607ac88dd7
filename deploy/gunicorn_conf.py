"""gunicorn settings. The address to bind to is given on the command line."""

import logging
import resource
from pathlib import Path

from config.settings import LOGGING

workers = 2
worker_class = "deploy.gunicorn_worker.Worker"  # a slow client occupies a connection, not a thread
threads = 8
# Per worker. A download needs two file descriptors: its connection and its file.
worker_connections = max(50, min(1000, (resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 100) // 2))
timeout = 60
graceful_timeout = 10
limit_request_line = 8190  # the URL of a link or an estimate may name hundreds of fields
control_socket_disable = True  # it would be in the home folder, shared by every gunicorn of the user
_memory = Path("/dev/shm")  # noqa: S108  gunicorn creates a private file in it
worker_tmp_dir = str(_memory) if _memory.is_dir() else None  # a heartbeat on a busy disk can stall a worker

access_log_format = "%(m)s %(U)s %(s)s %(B)s bytes %(M)s ms"
ROUTINE = (
    "/healthz",
    "/readyz",
    "/metrics",
    "/progress/",
    "/exports/rows/",
    "/exports/fields/",
    "/exports/estimate/",
    "/notifications/bell/",
    "/static/",
)
"""Paths that browsers and probes poll: logged only if the request fails."""


class NotRoutine(logging.Filter):
    """Drop access lines of successful routine requests."""

    def filter(self, record: logging.LogRecord) -> bool:
        atoms = record.args
        if not isinstance(atoms, dict):
            return True
        routine = any(part in str(atoms["U"]) for part in ROUTINE)
        return not routine or str(atoms["s"]) >= "400"


logconfig_dict = LOGGING | {
    "filters": LOGGING["filters"] | {"not_routine": {"()": NotRoutine}},
    "loggers": {
        "gunicorn.error": {"handlers": ["console"], "level": "INFO", "propagate": False},
        "gunicorn.access": {
            "handlers": ["console"],
            "level": "INFO",
            "propagate": False,
            "filters": ["not_routine"],
        },
    },
}
