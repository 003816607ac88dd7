"""Celery settings of the site, with the reason for each that differs from the default.

They are the site's own choice. What leased work needs is on its tasks, and in durable.celery.install.
Celery imports this module when it first needs a setting, after Django has loaded its own.
"""

import os

from django.conf import settings

from config import broker
from config.queues import BULK, HIGH

# The command `celery` copies BROKER_URL to this variable, which Celery prefers to broker_url below.
os.environ.pop("CELERY_BROKER_URL", None)
_broker = broker.celery(settings.BROKER_URL)
broker_url = _broker.url
broker_use_ssl = _broker.use_ssl
broker_transport_options = _broker.options
timezone = settings.TIME_ZONE
enable_utc = True
accept_content = ["json"]
# -- queues: `high` is the default; only tasks that may take long are routed to `bulk`.
task_default_queue = HIGH
task_routes = {
    "exports.tasks.render_part": {"queue": BULK},
    "exports.tasks.assemble_export": {"queue": BULK},
    "durable.jobs.bulk.*": {"queue": BULK},
}
# -- results: in the database, of the tasks that store them.
result_backend = "django-db"
result_extended = True
result_expires = None  # exports.tasks.clean_up_results deletes in batches; Celery's clean-up is one unbounded DELETE
# -- workers: prefetch one message at a time (Redis: none), so that the order chosen in the database is kept.
worker_prefetch_multiplier = 1
worker_max_tasks_per_child = 100
worker_max_memory_per_child = 400_000  # KB; WeasyPrint does not return its memory
worker_send_task_events = True  # for Flower
task_send_sent_event = True
worker_hijack_root_logger = False
# -- the connection: workers retry without limit, pages once.
broker_connection_retry_on_startup = True
broker_connection_max_retries = None
task_publish_retry_policy = {"max_retries": 1, "interval_start": 0}
# -- Beat: schedules are in the database; edits take effect within five seconds; each run is saved at once.
beat_scheduler = "django_celery_beat.schedulers:DatabaseScheduler"
beat_max_loop_interval = 5
beat_sync_every = 1
# -- what the broker needs: see config/broker.py.
globals().update(_broker.settings)
