"""Milliseconds until the click is answered: Redis up, gone, and silent (stopped with SIGSTOP)."""

from __future__ import annotations

import signal
import statistics
import time

from benchmarks.site import Site
from deploy import redis_server
from deploy.http import Browser

CLICKS = 15


def measure(here: Site) -> dict[str, dict[str, float]]:
    """Median and worst of CLICKS clicks in each case; each asks for another day, so that each is a new export."""
    person = _sign_in(here)
    figures = {"redis up": _clicks(person, 1)}
    here.redis_process.send_signal(signal.SIGSTOP)
    try:
        figures["redis silent"] = _clicks(person, 2)
    finally:
        here.redis_process.send_signal(signal.SIGCONT)
    redis_server.stop(here.redis_process)
    figures["redis gone"] = _clicks(person, 3)
    return figures


def _sign_in(here: Site) -> Browser:
    browser = Browser(here.url)
    form = browser.get("/accounts/login/").form("username")
    browser.post("/accounts/login/", form.fields | {"username": "small@example.com", "password": "demo"})
    return browser


def _clicks(person: Browser, month: int) -> dict[str, float]:
    times = []
    for day in range(1, CLICKS + 1):
        form = person.get("/exports/").form("dataset")
        date = f"2026-{month:02}-{day:02}"
        fields = {"dataset": "orders", "format": "csv", "period": "custom", "date_from": date, "date_to": date}
        began = time.perf_counter()
        answer = person.post("/exports/", form.fields | fields)
        times.append((time.perf_counter() - began) * 1000)
        if answer.status != 303:
            raise SystemExit(f"The click was answered {answer.status}: {answer.reason()}")
        export = answer.location.rstrip("/").rsplit("/", 1)[-1]
        person.post(f"/exports/{export}/cancel/", person.get(answer.location).form("csrfmiddlewaretoken").fields)
    return {"median_ms": round(statistics.median(times), 1), "worst_ms": round(max(times), 1)}
