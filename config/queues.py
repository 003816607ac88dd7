"""The two queues, the processes that serve each, and the window of parts in flight that follows from them."""

HIGH, BULK = "high", "bulk"
"""`high` is for short tasks (notifications, planning, small exports, schedules, the sweep), `bulk` for rendering."""

CONCURRENCY = {HIGH: 2, BULK: 2}
"""Child processes of the worker of each queue, on one machine."""

WINDOW = max(CONCURRENCY.values()) + 1
"""One part more than there are processes: a process that finishes a part finds another, and a new export waits for one
part at most."""
