"""All processes of a site: start them, wait until the site is ready, keep them running, and stop them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

from django.conf import settings

from config.broker import canonical, is_redis
from config.private import redis_socket
from deploy.http import Browser
from deploy.leftovers import end_descendants, reap
from deploy.log import MergedLog
from deploy.processes import LOOPBACK, private_redis, site, stack_environment
from deploy.redis_server import START_SECONDS as REDIS_SECONDS
from deploy.redis_server import RedisServer, answers, wait_for_redis
from deploy.steps import ROOT, TETHERED, Fault, say, step
from deploy.supervision import Supervision

READY_SECONDS = 60
PREPARE_SECONDS = 600
MAX_BACKOFFS = 4
"""How often, at intervals of half a second, a program may be in BACKOFF before the start is abandoned."""


class Stack:
    """The processes of one site, with its data in one folder."""

    def __init__(self, var_dir: Path, port: int, bind: str = LOOPBACK) -> None:
        self.var_dir, self.port, self.bind = var_dir, port, bind
        self.environment = {**os.environ, **stack_environment(var_dir, port)}
        redis_path = redis_socket(var_dir)
        own_redis = f"unix://{redis_path}" == settings.BROKER_URL
        self.redis = RedisServer(var_dir / "redis", socket=redis_path) if own_redis else None
        self.control = redis_path.with_name("ctl.sock")  # same folder: its path is short enough for a socket
        self.log = MergedLog(var_dir / "log" / "carryall.log", as_json=settings.ENVIRONMENT.log_format == "json")
        own = private_redis(self.redis) if self.redis else None
        programs = site(var_dir, port, bind)
        self.supervision = Supervision(var_dir / "run", self.control, self.log, own, programs)

    @property
    def address(self) -> str:
        host = {"0.0.0.0": LOOPBACK, "::": "::1"}.get(self.bind, self.bind)  # noqa: S104  compared, not bound
        return f"http://[{host}]:{self.port}/" if ":" in host else f"http://{host}:{self.port}/"

    def browser(self, seconds: float = 30) -> Browser:
        """Return a client with a Host header that ALLOWED_HOSTS accepts. In production that is not 127.0.0.1."""
        hosts = [host.lstrip(".") for host in settings.ALLOWED_HOSTS]
        return Browser(self.address, host="" if LOOPBACK in hosts else hosts[0], seconds=seconds)

    def check(self) -> None:
        """Check the port and Redis before anything is started. Raise Fault."""
        check_port(self.bind, self.port)
        if self.redis:
            self.redis.write_conf()
        elif is_redis(settings.BROKER_URL) and (reason := answers(canonical(settings.BROKER_URL))):
            raise Fault(
                f"The Redis at REDIS_URL does not answer ({reason}): start it, or unset REDIS_URL to use a private one."
            )

    def start(self, lock: int) -> None:
        """Start everything and wait until the site is ready. supervisord keeps the file `lock` open. Raise Fault."""
        self.control.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.supervision.start(self.environment, keep_open=lock)
        if self.redis:
            self._await_redis()
        self._prepare()
        with step("Starting web server, workers and Beat"):
            self.supervision.start_site()
            self._await_ready()

    def _await_redis(self) -> None:
        try:
            wait_for_redis(settings.BROKER_URL, REDIS_SECONDS)
        except Fault as fault:
            log = self.var_dir / "redis" / "redis.log"
            raise Fault(f"The private Redis did not start; see {log}. {fault}") from fault

    def _prepare(self) -> None:
        """Run deploy.prepare: in a process, to keep this one small, and in a session that Ctrl-C does not reach."""
        command = [*TETHERED, sys.executable, "-m", "deploy.prepare"]
        environment = self.environment | {"PROCESS_NAME": "prepare"}
        child = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            if code := child.wait(PREPARE_SECONDS):
                # With exit code 1, the reason has been printed.
                raise Fault("" if code == 1 else f"Preparing the site failed with exit code {code}.")
        except subprocess.TimeoutExpired as error:
            raise Fault(f"Preparing the site took longer than {PREPARE_SECONDS} s.") from error
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()

    def _await_ready(self) -> None:
        """Wait until all programs run and /readyz returns 200. Raise Fault with the end of the log."""
        end, backoffs, reason = time.monotonic() + READY_SECONDS, 0, "no answer"
        states: dict[str, str] = {}
        while time.monotonic() < end and backoffs < MAX_BACKOFFS and self.supervision.running():
            states = self.supervision.states()
            backoffs += "BACKOFF" in states.values()
            reason = self._unready()
            if not reason and set(states.values()) == {"RUNNING"}:
                return
            time.sleep(0.5 if backoffs else 0.2)
        waiting = ", ".join(f"{name} is {state}" for name, state in states.items() if state != "RUNNING")
        lines = "\n".join("    " + line for line in self.log.tail(25))
        raise Fault(f"The site did not become ready ({waiting or reason}). The log ends with:\n{lines}")

    def _unready(self) -> str:
        try:
            answer = self.browser(3).get("/readyz")
        except Fault as fault:
            return str(fault)
        return "" if answer.status == 200 else f"/readyz returned {answer.status}: {answer.text[:200]}"

    def wait(self) -> None:
        """Reap adopted processes until a signal arrives. Raise Fault if the process manager ends."""
        while self.supervision.running():
            time.sleep(1)
            if self.supervision.child:
                reap(self.supervision.child)
        raise Fault("The process manager ended unexpectedly. Stopping all other processes.")

    def stop(self) -> None:
        """End all processes, also after an incomplete start."""
        if self.supervision.child is None:
            return
        begin = time.monotonic()
        self.supervision.stop()
        killed = end_descendants()
        self.log.finish()
        rest = f" ({killed} did not end in time and were killed)" if killed else ""
        say(f"Stopped in {time.monotonic() - begin:.1f} s; no process is left{rest}.")


def check_port(bind: str, port: int) -> None:
    """Raise Fault if the web server cannot listen on this port."""
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((bind, port))
            probe.listen()
        except OSError as error:
            other = port + 1 if port < 65535 else 8001
            raise Fault(
                f"Port {port} on {bind} cannot be used ({error.strerror}): "
                f"choose another one, for example `make run PORT={other}`."
            ) from error
