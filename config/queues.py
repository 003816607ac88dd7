"""The two queues, and how many processes work at each: the window of parts in flight follows from it."""

HIGH, BULK = "high", "bulk"
"""`high` for what is short (notifications, planning, small exports, schedules, the sweep), `bulk` for rendering."""

CONCURRENCY = {HIGH: 2, BULK: 2}
"""Queue -> child processes of its worker, on one machine."""

WINDOW = max(CONCURRENCY.values()) + 1
"""One part more than can be worked at: whoever ends one finds another, and a newcomer waits for one part to end."""
