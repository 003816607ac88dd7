"""What the system itself must bring: WeasyPrint's libraries, fonts of wide coverage, for the tests a browser.

Presence is probed (a library that loads, a font that covers a script), never asked of a package manager: what
matters is what is there, not who put it there.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import shutil
import subprocess
from dataclasses import dataclass, field

from deploy.steps import Failed, Fault, run_quietly, say, step

LIBRARIES = {
    "pango-1.0": "libpango-1.0-0",
    "pangoft2-1.0": "libpangoft2-1.0-0",
    "harfbuzz": "libharfbuzz0b",
    "harfbuzz-subset": "libharfbuzz-subset0",
    "fontconfig": "libfontconfig1",
}
"""Library (without lib and .so) -> its Debian package. The list is WeasyPrint's (text/ffi.py)."""

BROWSER_LIBRARIES = {"atomic": "libatomic1"}
"""What the driver of the browser tests loads beside the browser itself."""

SCRIPTS = {
    "latin": ("0041 0142 1e9e", "fonts-dejavu-core"),
    "arabic, hebrew, devanagari, thai": ("0627 05d0 0905 0e01", "fonts-noto-core"),
    "chinese, japanese, korean": ("4e2d 3042 d55c", "fonts-noto-cjk"),
}
"""Script -> code points that some font must cover, and the Debian package that does."""

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
TOOLS = {
    "pdftotext": "poppler-utils",
    "qpdf": "qpdf",
    "ssconvert": "gnumeric",
    "soffice": "libreoffice-calc-nogui",
    "unzip": "unzip",
    "pgbouncer": "pgbouncer",
}
SERVERS = "/usr/sbin"
"""Where Debian puts servers; it is not on the PATH of an ordinary user."""
APT_SECONDS = 900
APT_TROUBLES = {
    (
        "Could not get lock",
        "is held by process",
    ): "Another apt kept its lock for two minutes: wait until it ends",
    ("dpkg was interrupted",): "An earlier installation was cut short: run `dpkg --configure -a`",
    ("No space left", "enough free space"): "The disk is full: make room",
    (
        "Could not resolve",
        "Failed to fetch",
        "Unable to locate",
    ): "The Debian mirror cannot be reached: check the network",
}
"""What apt prints -> what that means and what to do first."""
NEEDED_SONAMES = {"pango-1.0": 0, "pangoft2-1.0": 0, "harfbuzz": 0, "harfbuzz-subset": 0, "fontconfig": 1, "atomic": 1}


@dataclass
class Missing:
    """Debian packages to install: what cannot be done without, and what would only be good to have."""

    needed: list[str] = field(default_factory=list)
    useful: list[str] = field(default_factory=list)


def _has_library(name: str) -> bool:
    for candidate in (f"lib{name}.so.{NEEDED_SONAMES[name]}", f"lib{name}.{NEEDED_SONAMES[name]}.dylib"):
        try:
            ctypes.CDLL(candidate)
        except OSError:
            continue
        return True
    return ctypes.util.find_library(name) is not None


def _covered(code_points: str) -> bool:
    """Whether for each of the code points there is a font that has it."""
    for point in code_points.split():
        found = subprocess.run(["fc-list", f":charset={point}", "file"], check=False, capture_output=True, timeout=120)
        if not found.stdout.strip():
            return False
    return True


def found(tool: str) -> str | None:
    """The path of a program; None where it is not there."""
    return shutil.which(tool, path=f"{os.environ.get('PATH', os.defpath)}:{SERVERS}")


def probe(*, dev: bool) -> Missing:
    """What is not there."""
    needed = [package for name, package in LIBRARIES.items() if not _has_library(name)]
    if shutil.which("fc-list") is None:
        needed += ["fontconfig", *(package for _, package in SCRIPTS.values())]
    else:
        needed += [package for points, package in SCRIPTS.values() if not _covered(points)]
    useful = []
    if dev:
        useful += [package for tool, package in TOOLS.items() if found(tool) is None]
        useful += [package for name, package in BROWSER_LIBRARIES.items() if not _has_library(name)]
        useful += [] if any(map(shutil.which, BROWSERS)) else ["chromium"]
    return Missing(needed, useful)


def _superuser() -> list[str] | None:
    """What stands before apt-get: nothing for root, sudo where it asks no password; None where we may not."""
    if shutil.which("apt-get") is None:
        return None
    if os.geteuid() == 0:
        return []
    if (
        shutil.which("sudo")
        and subprocess.run(["sudo", "-n", "true"], check=False, capture_output=True, timeout=20).returncode == 0
    ):
        return ["sudo", "-n"]
    return None


def ensure_system(*, dev: bool) -> None:
    """Install what is missing, where we may. Raises Fault, naming the command, where we may not and must."""
    missing = probe(dev=dev)
    if not missing.needed and not missing.useful:
        return
    prefix = _superuser()
    if missing.needed:
        _ensure_needed(prefix, missing.needed)
    if missing.useful:
        _try_useful(prefix, missing.useful)


def _ensure_needed(prefix: list[str] | None, packages: list[str]) -> None:
    if prefix is None and shutil.which("apt-get") is None:
        raise Fault(
            "PDF needs Pango 1.44 or newer, HarfBuzz with its subset library, fontconfig and wide fonts "
            f"(in Debian: {' '.join(packages)}): install them with this system's package manager, then go on."
        )
    if prefix is None:
        raise Fault(
            f"PDF needs libraries or fonts that are missing: run `sudo apt-get install {' '.join(packages)}` "
            "and then the same command again."
        )
    with step(f"Installing with apt-get: {' '.join(packages)}"):
        _apt(prefix, packages)
    if still := probe(dev=False).needed:
        raise Fault(f"apt-get went well, but this is still missing: {' '.join(still)}.")


def _try_useful(prefix: list[str] | None, packages: list[str]) -> None:
    """The tests that use these say so where they are missing, so a failure is worth a line and no more."""
    if prefix is None:
        say(f"Some tests need {' '.join(packages)}, which cannot be installed from here; they will say so.")
        return
    try:
        with step(f"Installing with apt-get for the tests: {' '.join(packages)}"):
            _apt(prefix, packages)
    except Fault as fault:
        say(f"Some tests need {' '.join(packages)}, and installing that failed; they will say so. {fault}")


def _apt(prefix: list[str], packages: list[str]) -> None:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    apt = [*prefix, "apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=120", "-o", "Acquire::Retries=2"]
    try:
        run_quietly([*apt, "update"], seconds=APT_SECONDS, env=environment)
        run_quietly([*apt, "install", "--no-install-recommends", *packages], seconds=APT_SECONDS, env=environment)
    except Failed as error:
        raise _explained(error, packages) from error


def _explained(error: Failed, packages: list[str]) -> Fault:
    """One sentence for what commonly goes wrong with apt, the end of its output for the rest."""
    command = f"`apt-get install {' '.join(packages)}`"
    for signs, sentence in APT_TROUBLES.items():
        if any(sign in error.output for sign in signs):
            return Fault(f"{sentence}, then run {command} or try again.")
    return error
