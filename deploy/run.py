"""Start the whole site on this machine and keep it running (`make run`). With ONCE=1, run one export and end.

    .venv/bin/python -m deploy.run

PORT, BIND, VAR_DIR, DATABASE_URL and REDIS_URL override the defaults. Ctrl-C or SIGTERM ends everything.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from deploy import drive, tether
from deploy.processes import LOOPBACK, stack_environment
from deploy.steps import ROOT, Fault, say

if TYPE_CHECKING:
    from deploy.stack import Stack

LAST_RUN_SECONDS = 75
"""How long a start waits for a previous run that is shutting down. Shutdown is bounded too."""
FOLDERS = ("run", "log", "redis", "artifacts", "scratch", "mail", "media", "static")
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stop(BaseException):
    """Raised on Ctrl-C, SIGTERM or a closed terminal, for a clean shutdown."""


@dataclass(frozen=True)
class Options:
    """Options of this run, from the environment."""

    var_dir: Path
    port: int
    bind: str
    once: bool


def read_environment() -> Options:
    """Read VAR_DIR, PORT, BIND and ONCE. Raise Fault."""
    given = os.environ.get("PORT") or "8000"
    if not given.isdecimal() or not 0 < int(given) < 65536:
        raise Fault(f"PORT={given} is not a port: set it to a number from 1 to 65535.")
    return Options(
        var_dir=Path(os.environ.get("VAR_DIR") or ROOT / "var").absolute(),
        port=int(given),
        bind=os.environ.get("BIND") or LOOPBACK,
        once=os.environ.get("ONCE", "") not in ("", "0"),
    )


def make_folders(var_dir: Path) -> None:
    """Create the folders under var/, readable by their owner only. Raise Fault if they are not writable."""
    os.umask(0o077)
    probe = var_dir / "run" / f"probe.{os.getpid()}"
    try:
        var_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in FOLDERS:
            (var_dir / name).mkdir(mode=0o700, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise Fault(f"{var_dir} is not writable ({error.strerror}): set VAR_DIR to another folder.") from error


def take_lock(var_dir: Path) -> int:
    """Lock the folder, after waiting for a run that is shutting down. Raise Fault if one is running."""
    handle = os.open(var_dir / "run" / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    end, reported = time.monotonic() + LAST_RUN_SECONDS, False
    while not _locked(handle):
        holder = os.pread(handle, 20, 0).decode().strip()
        if _alive(holder) or time.monotonic() > end:
            raise Fault(
                f"Carryall is already running in {var_dir} (process {holder}): "
                "stop it, or start another one with a different VAR_DIR and PORT."
            )
        if not reported:
            say("The previous run is still shutting down. Waiting for it.")
            reported = True
        time.sleep(0.2)
    os.ftruncate(handle, 0)
    os.pwrite(handle, str(os.getpid()).encode(), 0)
    return handle


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


def catch_signals() -> Callable[[], None]:
    """Raise Stop at the first SIGINT, SIGTERM or SIGHUP. Return a function that makes them ignored."""

    def ignore() -> None:
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)

    def stop(_number: int, _frame: FrameType | None) -> None:
        ignore()
        raise Stop

    for number in ENDING:
        signal.signal(number, stop)
    return ignore


def make_stack(options: Options) -> Stack:
    """Return the stack. Importing it reads the settings, so the environment and folders come first. Raise Fault."""
    os.environ.update(stack_environment(options.var_dir, options.port))
    try:
        from deploy.stack import Stack
    except (ImproperlyConfigured, OSError, ValueError) as error:
        raise Fault(str(error)) from error
    return Stack(options.var_dir, options.port, options.bind)


def run() -> int:
    """Run the site and return the exit code. Raise Fault if it cannot start."""
    options = read_environment()
    export_options = drive.ExportOptions.from_environment()
    make_folders(options.var_dir)
    lock = take_lock(options.var_dir)
    stack = make_stack(options)
    if options.once and not settings.DEMO:
        raise Fault("ONCE=1 needs the demo shop, which ENVIRONMENT=production disables: unset one of the two.")
    stack.check()
    ignore_signals = catch_signals()
    try:
        stack.start(lock)
        return _once(stack, export_options) if options.once else _serve(stack)
    except Stop:
        say("\nStopping. Running tasks have a few seconds to finish; unfinished ones continue at the next start.")
        return 130 if options.once else 0
    except Fault as fault:
        say(f"\n{fault}\n" if str(fault) else "")
        return 1
    finally:
        ignore_signals()
        stack.stop()


def _once(stack: Stack, options: drive.ExportOptions) -> int:
    export, download = drive.drive(stack.browser(), options, stack.var_dir / "once")
    say("\n" + "\n".join(drive.timeline(export, download)) + "\n")
    return 0


def _serve(stack: Stack) -> int:
    _welcome(stack)
    stack.log.terminal = True
    if settings.DEMO:
        try:
            drive.make_first_export(stack.browser())
        except Fault as fault:
            say(f"The first export failed: {fault}")
    stack.wait()
    return 0


def _welcome(stack: Stack) -> None:
    say(f"\nCarryall is up: {stack.address}")
    if settings.DEMO:
        say(f"  sign in   {', '.join(drive.SIGN_INS)} (password {drive.PASSWORD})")
    say(f"  log       {stack.log.path}")
    say("  stop      Ctrl-C\n")


def main() -> int:
    if os.environ.get("MAKELEVEL"):
        tether.end_with_parent()  # if make is killed, this process ends too
    tether.adopt_orphans()
    try:
        return run()
    except Fault as fault:
        say(f"Carryall did not start. {fault}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
