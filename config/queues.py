"""The two queues, and the processes of the worker of each."""

HIGH, BULK = "high", "bulk"
"""`high` is for short tasks (notifications, planning, small exports, schedules, the sweep), `bulk` for rendering."""

CONCURRENCY = {HIGH: 2, BULK: 2}
"""Child processes of the worker of each queue, on one machine."""
