"""The process manager (supervisord): configure, start, query and stop it.

It restarts programs that die. The output of each program goes through a pipe to the merged log. No process outlives
its parent: programs end with supervisord, and supervisord ends with the process that started it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import signal
import subprocess
import sys
import time
import xmlrpc.client
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

from deploy.log import MergedLog
from deploy.processes import Program
from deploy.steps import ROOT, TETHERED, Fault

RETRIES = 1000
"""Consecutive failed starts before supervisord gives a program up. The pause before each is a second longer."""
STOP_SECONDS = 60
START_SECONDS = 15
GROUP = "site"


class Supervision:
    """A supervisord and its programs."""

    def __init__(self, folder: Path, control: Path, log: MergedLog, redis: Program | None, site: list[Program]) -> None:
        """`control` is the path of the control socket. `redis` is the private server, started first and ended last."""
        self.folder, self.control, self.log = folder, control, log
        self.redis, self.site = redis, site
        self.token = secrets.token_urlsafe(24)
        self.child: subprocess.Popen[bytes] | None = None

    def start(self, environment: dict[str, str], keep_open: int) -> None:
        """Start supervisord and the private Redis. supervisord inherits the descriptor `keep_open`."""
        names = [program.name for program in self._programs()]
        pipes = {name: self.log.source(name) for name in ["supervisor", *names]}
        conf = self.folder / "supervisord.conf"
        conf.touch(mode=0o600)
        conf.write_text(self.configuration(pipes))
        self.control.unlink(missing_ok=True)
        command = [*TETHERED, sys.executable, "-m", "supervisor.supervisord", "-n", "-c", str(conf)]
        self.child = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=pipes["supervisor"],
            stderr=subprocess.STDOUT, pass_fds=[keep_open, *pipes.values()], start_new_session=True,
        )  # fmt: skip
        for pipe in pipes.values():
            os.close(pipe)
        self.log.start()
        self._wait_for_control()

    def _programs(self) -> list[Program]:
        return [*([self.redis] if self.redis else []), *self.site]

    def _wait_for_control(self) -> None:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and self.running():
            with contextlib.suppress(OSError, xmlrpc.client.Error):
                self.rpc().getState()
                return
            time.sleep(0.05)
        raise Fault("The process manager did not start: " + " ".join(self.log.tail(5)))

    def rpc(self) -> Any:
        """Return the XML-RPC interface of supervisord (http://supervisord.org/api.html)."""
        transport = SupervisorTransport("carryall", self.token, serverurl=f"unix://{self.control}")
        return xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport).supervisor

    def start_site(self) -> None:
        """Start the programs of the site in order, without waiting for them."""
        for program in self.site:
            self.rpc().startProcess(f"{GROUP}:{program.name}", False)

    def states(self) -> dict[str, str]:
        """Return program -> state (RUNNING, BACKOFF and so on). Empty if supervisord does not answer."""
        try:
            return {info["name"]: info["statename"] for info in self.rpc().getAllProcessInfo()}
        except (OSError, xmlrpc.client.Error):
            return {}

    def running(self) -> bool:
        return self.child is not None and self.child.poll() is None

    def stop(self) -> None:
        """Stop the site, then Redis. Processes that do not end in time are killed."""
        if self.child is None:
            return
        if self.running():
            self.child.send_signal(signal.SIGTERM)
        try:
            self.child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()

    def configuration(self, pipes: dict[str, int]) -> str:
        sections = [self._own_sections()]
        if self.redis:
            sections.append(_program_section(self.redis, pipes, priority=10, autostart=True))
        sections += [
            _program_section(program, pipes, priority=20 + number, autostart=False)
            for number, program in enumerate(self.site)
        ]
        names = ",".join(program.name for program in self.site)
        # supervisord stops groups one after the other, so Redis outlives its clients.
        sections.append(f"[group:{GROUP}]\nprograms={names}\npriority=20\n")
        return "\n".join(sections)

    def _own_sections(self) -> str:
        user = "user=root\n" if os.geteuid() == 0 else ""  # without it, supervisord warns about running as root
        control = _escaped(str(self.control))
        return (
            f"[unix_http_server]\nfile={control}\nchmod=0700\nusername=carryall\npassword={self.token}\n\n"
            f"[supervisord]\nnodaemon=true\n{user}umask=077\nlogfile=/dev/null\nlogfile_maxbytes=0\n"
            f"pidfile={_escaped(str(self.folder / 'supervisord.pid'))}\ndirectory={_escaped(str(ROOT))}\n\n"
            "[rpcinterface:supervisor]\n"
            "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n\n"
            f"[supervisorctl]\nserverurl=unix://{control}\nusername=carryall\npassword={self.token}\n"
        )


def _escaped(value: str) -> str:
    return value.replace("%", "%%")


def _program_section(program: Program, pipes: dict[str, int], *, priority: int, autostart: bool) -> str:
    variables = {"PROCESS_NAME": program.name, **program.environment}
    environment = ",".join(f'{name}="{_escaped(value)}"' for name, value in variables.items())
    return "\n".join(
        [
            f"[program:{program.name}]",
            f"command={_escaped(shlex.join([*TETHERED, *program.command]))}",
            f"directory={_escaped(str(ROOT))}",
            f"environment={environment}",
            f"priority={priority}",
            f"autostart={str(autostart).lower()}",
            "autorestart=true",
            f"startsecs={program.start_seconds}",
            f"startretries={RETRIES}",
            "stopsignal=TERM",
            # SIGTERM to the main process only, because children would die in the middle of their work.
            "stopasgroup=false",
            "killasgroup=true",
            f"stopwaitsecs={program.stop_seconds}",
            "redirect_stderr=true",
            f"stdout_logfile=/dev/fd/{pipes[program.name]}",
            "stdout_logfile_maxbytes=0",
            "",
        ]
    )
