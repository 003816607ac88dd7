"""System packages: libraries of WeasyPrint, fonts with wide coverage, and a browser and tools for the tests.

The checks load a library or look for a font that covers a script. They do not query the package manager, because it
does not matter how something was installed.
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
"""Library (without lib and .so) -> its Debian package. The list is from WeasyPrint (text/ffi.py)."""

BROWSER_LIBRARIES = {"atomic": "libatomic1"}
"""Libraries that the driver of the browser tests needs."""

SCRIPTS = {
    "latin": ("0041 0142 1e9e", "fonts-dejavu-core"),
    "arabic, hebrew, devanagari, thai": ("0627 05d0 0905 0e01", "fonts-noto-core"),
    "chinese, japanese, korean": ("4e2d 3042 d55c", "fonts-noto-cjk"),
}
"""Scripts -> code points that must be covered by a font, and a Debian package with such a font."""

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
TOOLS = {
    "pdftotext": "poppler-utils",
    "qpdf": "qpdf",
    "mutool": "mupdf-tools",
    "ssconvert": "gnumeric",
    "soffice": "libreoffice-calc-nogui",
    "unzip": "unzip",
    "pgbouncer": "pgbouncer",
    "rabbitmq-server": "rabbitmq-server",
    "ip": "iproute2",
}
SERVERS = "/usr/sbin"
"""Debian installs servers here; it is not on the PATH of ordinary users."""
APT_SECONDS = 900
APT_TROUBLES = {
    (
        "Could not get lock",
        "is held by process",
    ): "Another apt process has held the lock for two minutes: wait until it ends",
    ("dpkg was interrupted",): "An earlier installation was interrupted: run `dpkg --configure -a`",
    ("No space left", "enough free space"): "The disk is full: free some space",
    (
        "Could not resolve",
        "Failed to fetch",
        "Unable to locate",
    ): "The Debian mirror cannot be reached: check the network",
}
"""Texts in the output of apt -> what happened, and what to do before the next try."""
NEEDED_SONAMES = {"pango-1.0": 0, "pangoft2-1.0": 0, "harfbuzz": 0, "harfbuzz-subset": 0, "fontconfig": 1, "atomic": 1}


@dataclass
class Missing:
    """Debian packages to install: needed ones, and optional ones that only tests use."""

    needed: list[str] = field(default_factory=list)
    optional: list[str] = field(default_factory=list)


def _has_library(name: str) -> bool:
    for candidate in (f"lib{name}.so.{NEEDED_SONAMES[name]}", f"lib{name}.{NEEDED_SONAMES[name]}.dylib"):
        try:
            ctypes.CDLL(candidate)
        except OSError:
            continue
        return True
    return ctypes.util.find_library(name) is not None


def _covered(code_points: str) -> bool:
    """Return whether each of the code points is in some font."""
    for point in code_points.split():
        fonts = subprocess.run(["fc-list", f":charset={point}", "file"], check=False, capture_output=True, timeout=120)
        if not fonts.stdout.strip():
            return False
    return True


def find_program(tool: str) -> str | None:
    """Return the path of a program, or None."""
    return shutil.which(tool, path=f"{os.environ.get('PATH', os.defpath)}:{SERVERS}")


def probe(*, dev: bool) -> Missing:
    """Return the packages that are missing."""
    needed = [package for name, package in LIBRARIES.items() if not _has_library(name)]
    if shutil.which("fc-list") is None:
        needed += ["fontconfig", *(package for _, package in SCRIPTS.values())]
    else:
        needed += [package for points, package in SCRIPTS.values() if not _covered(points)]
    optional = []
    if dev:
        optional += [package for tool, package in TOOLS.items() if find_program(tool) is None]
        optional += [package for name, package in BROWSER_LIBRARIES.items() if not _has_library(name)]
        optional += [] if any(map(shutil.which, BROWSERS)) else ["chromium"]
    return Missing(needed, optional)


def _apt_prefix() -> list[str] | None:
    """Return the prefix of apt-get: empty for root, sudo if it needs no password; None if apt-get cannot be used."""
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
    """Install what is missing, if permitted. Raise Fault with the command if something needed stays missing."""
    missing = probe(dev=dev)
    if not missing.needed and not missing.optional:
        return
    prefix = _apt_prefix()
    if missing.needed:
        _ensure_needed(prefix, missing.needed)
    if missing.optional:
        _try_optional(prefix, missing.optional)


def _ensure_needed(prefix: list[str] | None, packages: list[str]) -> None:
    if prefix is None and shutil.which("apt-get") is None:
        raise Fault(
            "PDF export needs Pango 1.44 or newer, HarfBuzz with its subset library, fontconfig and fonts with wide "
            f"coverage (in Debian: {' '.join(packages)}). Install them, then run the same command again."
        )
    if prefix is None:
        raise Fault(
            f"PDF export needs libraries or fonts that are missing: run `sudo apt-get install {' '.join(packages)}`, "
            "then run the same command again."
        )
    with step(f"Installing with apt-get: {' '.join(packages)}"):
        _apt(prefix, packages)
    if still := probe(dev=False).needed:
        raise Fault(f"apt-get succeeded, but these packages are still missing: {' '.join(still)}.")


def _try_optional(prefix: list[str] | None, packages: list[str]) -> None:
    """Install optional packages. Failures are only printed, because tests that need a package check for it."""
    if prefix is None:
        say(f"Some tests need {' '.join(packages)}, which cannot be installed here. Those tests will report it.")
        return
    try:
        with step(f"Installing with apt-get for the tests: {' '.join(packages)}"):
            _apt(prefix, packages)
    except Fault as fault:
        say(f"Some tests need {' '.join(packages)}, which could not be installed. Those tests will report it. {fault}")


def _apt(prefix: list[str], packages: list[str]) -> None:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    apt = [*prefix, "apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=120", "-o", "Acquire::Retries=2"]
    try:
        run_quietly([*apt, "update"], seconds=APT_SECONDS, env=environment)
        run_quietly([*apt, "install", "--no-install-recommends", *packages], seconds=APT_SECONDS, env=environment)
    except Failed as error:
        raise _explain(error, packages) from error


def _explain(error: Failed, packages: list[str]) -> Fault:
    """Return a fault with the fix for a common error of apt, or `error` with the end of its output."""
    command = f"`apt-get install {' '.join(packages)}`"
    for signs, sentence in APT_TROUBLES.items():
        if any(sign in error.output for sign in signs):
            return Fault(f"{sentence}, then run {command} or try again.")
    return error
