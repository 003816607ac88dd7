"""Tests of `make run` and `make run ONCE=1`, each from scratch with its own folder and port."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.http import Browser
from deploy.redis_server import free_port
from deploy.steps import ROOT
from tests.support.stack import Person, wait_until

SECONDS = 180


def environment(var_dir: Path, port: int, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    return {**kept, "VAR_DIR": str(var_dir), "PORT": str(port), **more}


def processes_of(var_dir: Path) -> dict[int, str]:
    """Return the live processes that were started for this folder: process id -> command line."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            own = (entry / "environ").read_bytes().split(b"\0")
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if f"VAR_DIR={var_dir}".encode() in own and command:
            found[int(entry.name)] = command
    return found


def test_once_runs_one_export_and_leaves_no_processes(tmp_path: Path) -> None:
    var_dir = tmp_path / "var"
    done = subprocess.run(
        [sys.executable, "-m", "deploy.run"], cwd=ROOT, env=environment(var_dir, free_port(), ONCE="1"),
        capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert re.search(r"160.?000", done.stdout), done.stdout
    assert re.search(r"\b[0-9a-f]{64}\b", done.stdout), "the checksum is printed"
    assert list((var_dir / "once").iterdir()), "the file is there"
    assert processes_of(var_dir) == {}


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path, int]]:
    var_dir, port = tmp_path / "var", free_port()
    log = (tmp_path / "log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "deploy.run"], cwd=ROOT, env=environment(var_dir, port), stdout=log, stderr=log
    )
    try:
        wait_until(lambda: b"Carryall is up" in (tmp_path / "log").read_bytes(), SECONDS, 0.2, "the start")
        yield process, var_dir, port
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(10)
        log.close()


def test_dead_programs_are_restarted_and_ctrl_c_ends_everything(
    running: tuple[subprocess.Popen[bytes], Path, int],
) -> None:
    process, var_dir, port = running
    person = Person(Browser(f"http://127.0.0.1:{port}"), "enterprise@example.com")
    first = wait_until(lambda: person.browser.get("/api/exports/").json()["exports"], 60, what="the first export")
    assert person.await_end(first[0]["id"])["state"] == "ready"

    workers = {pid for pid, command in processes_of(var_dir).items() if "-Q bulk" in command}
    for pid in workers:
        os.kill(pid, signal.SIGKILL)

    def replaced() -> set[int]:
        return {pid for pid, command in processes_of(var_dir).items() if "-Q bulk" in command} - workers

    wait_until(replaced, 30, what="a new worker")
    assert person.await_end(person.export(format="jsonl"), 90)["state"] == "ready"

    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    assert processes_of(var_dir) == {}
