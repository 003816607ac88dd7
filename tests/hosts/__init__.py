"""Sites of other people that install Carryall. A folder is one site: its settings, its apps and templates.

The tests of `minimal` and `bare` are in their folders, and import neither the demo site (`config`) nor the fixtures of
the other tests. `tests/integration/test_hosts.py` runs each site's in a process of its own; to run those of one site:

    python -m tests.hosts minimal

`german` is a site for the tests of our pages: `tests/integration/test_host_pages.py` and
`tests/browser/test_host_pages.py`. `own_tasks` has Celery tasks of its own, for `tests/acceptance/test_host_worker.py`.
"""

from pathlib import Path

FOLDER = Path(__file__).parent


def arguments(site: str) -> list[str]:
    """Return the arguments of pytest for the tests of a site."""
    return ["-q", f"--confcutdir={FOLDER}", f"--ds=tests.hosts.{site}.settings", str(FOLDER / site)]


def sites() -> list[str]:
    """Return the names of the sites with tests in their folders."""
    return sorted(path.parent.name for path in FOLDER.glob("*/test_site.py"))
