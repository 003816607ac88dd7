"""Tests of `make flower`: it shows the site's workers and tasks, and requires a password."""

from __future__ import annotations

import base64
import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.redis_server import free_port, stop
from deploy.steps import ROOT
from tests.support.stack import Stack, wait_until


@pytest.fixture
def flower(shared_stack: Stack, tmp_path: Path) -> Iterator[str]:
    port = free_port()
    environment = shared_stack.environment() | {
        "FLOWER_PASSWORD": "secret",
        "FLOWER_PORT": str(port),
        "FLOWER_UNAUTHENTICATED_API": "",
    }
    with (tmp_path / "flower.log").open("wb") as log:
        process = subprocess.Popen(["make", "--silent", "flower"], cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            stop(process)


def get(url: str, password: str = "secret") -> Any:
    request = urllib.request.Request(url)
    request.add_header("Authorization", "Basic " + base64.b64encode(f"carryall:{password}".encode()).decode())
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def test_flower_shows_workers_and_tasks(shared_stack: Stack, flower: str) -> None:
    def workers() -> Any:
        try:
            found = get(f"{flower}/api/workers?refresh=1")
        except OSError:
            return None
        return found if any(worker.get("registered") for worker in found.values()) else None

    shown = wait_until(workers, 40, 0.5, what="Flower's list of workers")
    assert {queue["name"] for worker in shown.values() for queue in worker["active_queues"]} == {"high", "bulk"}
    registered = {name.partition(" ")[0] for worker in shown.values() for name in worker["registered"]}  # with options
    assert "exports.tasks.render_part" in registered

    person = shared_stack.signed_in("small@example.com")
    person.await_end(person.export(format="csv", period="last-12-months"))
    named = {f"exports.tasks.{name}" for name in ("plan_export", "render_small_part", "assemble_small_export")}
    wait_until(
        lambda: named <= {task["name"] for task in get(f"{flower}/api/tasks").values()}, what="the tasks in Flower"
    )

    with pytest.raises(urllib.error.HTTPError, match="401"):
        get(f"{flower}/api/workers", password="wrong")


def test_flower_refuses_to_start_without_a_password() -> None:
    done = subprocess.run(
        ["make", "--silent", "flower"],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "FLOWER_PASSWORD" in done.stdout + done.stderr
