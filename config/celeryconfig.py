"""Celery's settings: two queues, bounded everything, and a reason for each one that is not Celery's own default.

The database is the truth and a message only a hint, so every choice here favours "lost or doubled, never stuck".
Celery reads this module when it first needs a setting, which is after Django has read its own.
"""

from django.conf import settings

from config import redis_url
from config.queues import BULK, HIGH

SOFT_LIMIT, HARD_LIMIT = 240, 300
"""Seconds a task may run: at the first it is told, at the second its process is killed."""

VISIBILITY_TIMEOUT = 900
"""Seconds until Redis gives an unacknowledged message to another; a system check holds it above 2 x HARD_LIMIT."""


CLICK_SECONDS = 0.4
"""The click waits for Redis so long, for each answer; workers and Beat wait longer (celery.py)."""

_broker = redis_url.broker(settings.REDIS_URL, CLICK_SECONDS)
broker_url = _broker.url
broker_use_ssl = _broker.use_ssl
timezone = settings.TIME_ZONE
enable_utc = True
# -- messages: primary keys only, so JSON is enough; gzip as the mission asks, worth it where a window is a group.
accept_content = ["json"]
task_serializer = "json"
task_compression = "gzip"
# -- queues: by name, so that adding a task to an app edits nothing here unless it renders what may be big.
task_default_queue = HIGH
task_routes = {"exports.tasks.render_part": {"queue": BULK}, "exports.tasks.assemble_export": {"queue": BULK}}
# -- time limits on every task.
task_soft_time_limit = SOFT_LIMIT
task_time_limit = HARD_LIMIT
# -- acknowledge late; never let the broker decide on a retry: the row counts the attempts.
task_acks_late = True
task_reject_on_worker_lost = False  # True loops without end on a task that kills its worker
task_acks_on_failure = True
task_acks_on_timeout = True
worker_cancel_long_running_tasks_on_connection_loss = False  # the message comes again, and finds its row held
# -- results: in the database, and only of the tasks whose result somebody reads (they say ignore_result=False).
result_backend = "django-db"
task_ignore_result = True
result_extended = True
result_expires = None  # our own clean-up deletes in batches; Celery's is one unbounded DELETE
worker_consumer = "durable.celery.messages:Consumer"  # refuses what it cannot read, and goes on
# -- workers: take one message at a time, so that the fair choice in the database stays fair.
worker_prefetch_multiplier = 1
worker_disable_prefetch = True
worker_max_tasks_per_child = 100
worker_max_memory_per_child = 400_000  # KB; memory that WeasyPrint took is not given back
worker_send_task_events = True  # the dashboard reads them
task_send_sent_event = True
worker_hijack_root_logger = False
# -- the connection: for ever on the worker's side, briefly on the publisher's.
broker_connection_retry_on_startup = True
broker_connection_max_retries = None
task_publish_retry_policy = {"max_retries": 1, "interval_start": 0}  # once more, at once; then the sweep sends it
broker_transport_options = {
    "visibility_timeout": VISIBILITY_TIMEOUT,
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    "socket_timeout": CLICK_SECONDS,
    "socket_connect_timeout": CLICK_SECONDS,
    "socket_keepalive": True,
    "health_check_interval": 10,  # a Redis whose machine is gone is noticed in 21 s; with kombu's 25 in 51
    "queue_order_strategy": "priority",
    "global_keyprefix": "carryall:",
    **_broker.options,
}
# -- Beat: schedules live in the database, edits show within five seconds, and a run is written down at once.
beat_scheduler = "django_celery_beat.schedulers:DatabaseScheduler"
beat_max_loop_interval = 5
beat_sync_every = 1
