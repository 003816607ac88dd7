"""A site that somebody else has, with a folder, a virtual environment, a Redis and processes of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

from deploy.http import Answer, Browser
from deploy.redis_server import RedisServer, free_port, wait_for_redis
from deploy.steps import ROOT, TETHERED
from tests.support.stack import wait_until

READY_SECONDS = 60
STEP_SECONDS = 180
PASSWORD = "pass-word-17"
TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')


class SiteOfOthers:
    """A project in `folder`, whose Celery app is in `<package>/celery.py`."""

    def __init__(self, python: Path, folder: Path, package: str, **environment: str) -> None:
        self.python, self.folder, self.package = python, folder, package
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.redis = RedisServer(folder / "redis", port=free_port())
        self.environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ} | {
            "SITE_URL": self.url,
            "REDIS_URL": self.redis.url,
            "HOST_DIR": str(folder),
            **environment,
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def manage(self, *arguments: str, check: bool = True, given: str = "") -> str:
        """Run a command of manage.py, with `given` as its input. Return what it prints."""
        done = subprocess.run(
            [str(self.python), "manage.py", *arguments], cwd=self.folder, env=self.environment, input=given,
            capture_output=True, text=True, timeout=STEP_SECONDS, check=False,
        )  # fmt: skip
        if check and done.returncode:
            raise AssertionError(
                f"manage.py {' '.join(arguments)} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
            )
        return done.stdout + done.stderr

    def start(self) -> None:
        """Start Redis, a web server, a worker and Beat, and wait until the site answers and the worker is ready."""
        self.redis.write_conf()
        self._run("redis", *self.redis.command)
        wait_for_redis(self.redis.url, READY_SECONDS)
        celery = [str(self.python), "-m", "celery", "-A", self.package]
        self._run("web", str(self.python), "manage.py", "runserver", "--noreload", str(self.port))
        self._run("worker", *celery, "worker", "--concurrency", "2", "--loglevel", "info")
        beat = ["--scheduler", "django_celery_beat.schedulers:DatabaseScheduler"]
        self._run("beat", *celery, "beat", *beat, "--pidfile=")
        wait_until(self._answers, READY_SECONDS, what=f"the site to answer\n{self.log('web')}")
        wait_until(lambda: " ready." in self.log("worker"), READY_SECONDS, what="the worker to be ready")

    def _answers(self) -> bool:
        with suppress(Exception):
            return self.browser().get("/admin/login/").status == 200
        return False

    def _run(self, name: str, *command: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [*TETHERED, *command], cwd=ROOT if name == "redis" else self.folder,
                env=self.environment | {"PYTHONPATH": str(ROOT)} if name == "redis" else self.environment,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def log(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def end(self) -> None:
        """Kill all running programs."""
        for process in self.processes.values():
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)

    def browser(self) -> Browser:
        return Browser(self.url)

    def sign_in(self, name: str) -> Browser:
        """Sign in through the admin's page, which every site has, and return the client."""
        client = self.browser()
        token = token_in(client.get("/admin/login/"))
        sent = {"username": name, "password": PASSWORD, "csrfmiddlewaretoken": token, "next": "/me/exports/"}
        assert client.post("/admin/login/", sent).status == 302
        return client


def token_in(page: Answer) -> str:
    found = TOKEN.search(page.text)
    assert found, f"{page.url} ({page.status}) has no form:\n{page.text[:2000]}"
    return found[1]
