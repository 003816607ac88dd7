"""Celery settings, with the reason for each that differs from the default.

The database is the source of truth and a message only a hint: messages may be lost or duplicated, but must not block
a worker.
Celery imports this module when it first needs a setting, after Django has loaded its own.
"""

from django.conf import settings

from config import redis_url
from config.queues import BULK, HIGH

SOFT_LIMIT, HARD_LIMIT = 240, 300
"""Seconds that a task may run: SoftTimeLimitExceeded is raised at the first, the process is killed at the second."""

VISIBILITY_TIMEOUT = 900
"""Seconds until an unacknowledged message is delivered again; a system check requires more than 2 x HARD_LIMIT."""

CLICK_SECONDS = 0.4
"""Seconds that a web request waits for each answer of Redis. Workers and Beat wait longer (durable/celery)."""

_broker = redis_url.broker(settings.REDIS_URL, CLICK_SECONDS)
broker_url = _broker.url
broker_use_ssl = _broker.use_ssl
timezone = settings.TIME_ZONE
enable_utc = True
# -- messages: primary keys only, so JSON is enough. gzip is worth it for groups of hints.
accept_content = ["json"]
task_serializer = "json"
task_compression = "gzip"
# -- queues: `high` is the default; only tasks that may take long are routed to `bulk`.
task_default_queue = HIGH
task_routes = {"exports.tasks.render_part": {"queue": BULK}, "exports.tasks.assemble_export": {"queue": BULK}}
# -- time limits on every task.
task_soft_time_limit = SOFT_LIMIT
task_time_limit = HARD_LIMIT
# -- acknowledge late. The broker never retries: the row counts the attempts.
task_acks_late = True
task_reject_on_worker_lost = False  # True would redeliver a task that kills its worker without end
task_acks_on_failure = True
task_acks_on_timeout = True
worker_cancel_long_running_tasks_on_connection_loss = False  # the message is redelivered and finds the row leased
# -- results: in the database, for tasks with ignore_result=False only.
result_backend = "django-db"
task_ignore_result = True
result_extended = True
result_expires = None  # exports.tasks.clean_up_results deletes in batches; Celery's clean-up is one unbounded DELETE
worker_consumer = "durable.celery.messages:Consumer"  # rejects unreadable messages and continues
# -- workers: prefetch one message at a time, so that the order chosen in the database is kept.
worker_prefetch_multiplier = 1
worker_disable_prefetch = True
worker_max_tasks_per_child = 100
worker_max_memory_per_child = 400_000  # KB; WeasyPrint does not return its memory
worker_send_task_events = True  # for Flower
task_send_sent_event = True
worker_hijack_root_logger = False
# -- the connection: workers retry without limit, publishers once.
broker_connection_retry_on_startup = True
broker_connection_max_retries = None
task_publish_retry_policy = {"max_retries": 1, "interval_start": 0}  # one immediate retry; then the sweep sends it
broker_transport_options = {
    "visibility_timeout": VISIBILITY_TIMEOUT,
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    "socket_timeout": CLICK_SECONDS,
    "socket_connect_timeout": CLICK_SECONDS,
    "socket_keepalive": True,
    "health_check_interval": 10,  # a dead Redis machine is detected in 21 s; with kombu's default of 25, in 51 s
    "queue_order_strategy": "priority",
    "global_keyprefix": "carryall:",
    **_broker.options,
}
# -- Beat: schedules are in the database; edits take effect within five seconds; each run is saved at once.
beat_scheduler = "django_celery_beat.schedulers:DatabaseScheduler"
beat_max_loop_interval = 5
beat_sync_every = 1
