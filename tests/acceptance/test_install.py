"""The built package in the sites of other people: a new project with the lines of the guide, and a django-oscar shop.

Each has a virtual environment with the package and what it depends on, its own web server, worker and Beat.
"""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from zipfile import ZipFile

import pytest

from deploy.http import Answer, Browser
from deploy.steps import ROOT
from tests.support.site_of_others import PASSWORD, SiteOfOthers, token_in
from tests.support.stack import wait_until

GUIDE = ROOT / "docs" / "how-to" / "install.md"
BLOCK = re.compile(r"^```py(?:thon)?\n(.*?)^```", re.MULTILINE | re.DOTALL)
OSCAR = "django-oscar==4.2.1"
INSTALL_SECONDS = 600
NewSite = Callable[..., SiteOfOthers]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the wheel, its dependencies, two extras, and django-oscar."""
    folder = tmp_path_factory.mktemp("package")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=INSTALL_SECONDS)
    [wheel] = folder.glob("*.whl")
    uv, interpreter = Path(sys.executable).parent / "uv", folder / "venv" / "bin" / "python"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, folder / "venv"], check=True, timeout=60)
    subprocess.run(
        [uv, "pip", "install", "--quiet", "--python", interpreter, f"{wheel}[pdf,redis]", OSCAR],
        check=True,
        timeout=INSTALL_SECONDS,
    )
    return interpreter


@pytest.fixture
def new_site(python: Path, tmp_path: Path) -> Iterator[NewSite]:
    with ExitStack() as ended:

        def make(package: str, source: Path | None = None) -> SiteOfOthers:
            folder = tmp_path / package
            if source is not None:
                shutil.copytree(source, folder)
            folder.mkdir(exist_ok=True)
            site = SiteOfOthers(python, folder, package)
            ended.callback(site.end)
            return site

        yield make


# --- a new project --------------------------------------------------------------------------------------------------

OWN_SETTINGS = """
import os

INSTALLED_APPS += ["shop"]
ALLOWED_HOSTS = ["127.0.0.1"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
EMAIL_FILE_PATH = BASE_DIR / "mail"
CELERY_BROKER_URL = os.environ["REDIS_URL"]
"""
OWN_CELERY = """import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")

app = Celery("mysite")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
"""
OWN_MODELS = """from django.conf import settings
from django.db import models


class Order(models.Model):
    customer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    number = models.CharField(max_length=20)
    placed_at = models.DateTimeField()
    total = models.DecimalField(max_digits=8, decimal_places=2)
"""
OWN_ROWS = f"""
from datetime import timedelta
from django.contrib.auth.models import User
from django.utils import timezone
from shop.models import Order
ada, bob = (User.objects.create_superuser(name, f"{{name}}@shop.example", "{PASSWORD}") for name in ("ada", "bob"))
for user, count in ((ada, 3), (bob, 2)):
    for number in range(count):
        moment = timezone.now() - timedelta(minutes=1)
        Order.objects.create(customer=user, number=f"{{user}}-{{number}}", placed_at=moment, total=number)
"""


def new_project(site: SiteOfOthers) -> list[str]:
    """Start a project with an app, a Celery app and orders, and add the lines of the guide. Return these lines."""
    subprocess.run([site.python, "-m", "django", "startproject", "mysite", "."], cwd=site.folder, check=True)
    site.manage("startapp", "shop")
    package, app = site.folder / "mysite", site.folder / "shop"
    settings, urls, celery, dataset, *_ = BLOCK.findall(GUIDE.read_text())
    (package / "__init__.py").write_text('from .celery import app as celery_app\n\n__all__ = ("celery_app",)\n')
    (package / "celery.py").write_text(OWN_CELERY + celery)
    (app / "models.py").write_text(OWN_MODELS)
    (app / "datasets.py").write_text(dataset)
    with (package / "settings.py").open("a") as file:
        file.write(OWN_SETTINGS + settings.replace("https://shop.example", site.url))
    with (package / "urls.py").open("a") as file:
        file.write("from django.urls import include\n" + urls)
    return [line for block in (settings, urls, celery) for line in block.splitlines() if line.strip()]


def test_a_new_project_exports_with_the_lines_of_the_guide(new_site: NewSite) -> None:
    site = new_site("mysite")
    lines = new_project(site)
    assert len(lines) <= 10, lines
    site.manage("makemigrations", "shop")
    assert "no issues" in site.manage("check")
    site.manage("migrate")
    site.manage("shell", given=OWN_ROWS)
    site.start()
    ada = site.sign_in("ada")
    answer = exported(ada, dataset="orders", format="csv", period="all")
    rows = list(csv.DictReader(io.StringIO(answer.body.decode("utf-8-sig"))))
    assert [row["Number"] for row in rows] == ["ada-0", "ada-1", "ada-2"]
    pdf = exported(site.sign_in("bob"), dataset="orders", format="pdf", period="all")
    assert pdf.body.startswith(b"%PDF")
    mails = wait_until(lambda: sorted((site.folder / "mail").glob("*")), what="a mail")
    assert f"{site.url}/me/" in mails[0].read_text()
    assert "Your export of Orders as CSV is ready" in ada.get("/me/notifications/").text
    assert "FAULT" not in re.sub(KNOWN_FAULTS, "", site.manage("doctor", check=False))
    assert "Traceback" not in site.log("worker") + site.log("web") + site.log("beat")


KNOWN_FAULTS = r"(?m)^FAULT (settings|database|durability|mail|SITE_URL|fonts|language|room on disk):.*$"
"""Of the project itself: DEBUG is on, SQLite is as Django sets it up, and its mail goes to a folder."""


# --- django-oscar ---------------------------------------------------------------------------------------------------

OSCAR_ROWS = f"""
from decimal import Decimal
from django.contrib.auth.models import User
from django.utils import timezone
from oscar.core.loading import get_model
Order, Line, Partner = get_model("order", "Order"), get_model("order", "Line"), get_model("partner", "Partner")
partner = Partner.objects.create(name="p")
ada, bob = (User.objects.create_superuser(name, f"{{name}}@shop.example", "{PASSWORD}") for name in ("ada", "bob"))
for user, count in ((ada, 3), (bob, 2)):
    for number in range(count):
        money = dict(currency="GBP", total_incl_tax=Decimal(12), total_excl_tax=Decimal(10))
        order = Order.objects.create(user=user, number=f"{{user}}-{{number}}", date_placed=timezone.now(), **money)
        for title in ("tea", "cake"):
            prices = dict.fromkeys(
                ("line_price_incl_tax", "line_price_excl_tax", "line_price_before_discounts_incl_tax",
                 "line_price_before_discounts_excl_tax"), Decimal(6))
            line = dict(partner=partner, title=title, quantity=2, tax_code="", num_allocated=0)
            Line.objects.create(order=order, **line, **prices)
"""


def test_an_oscar_shop_exports_orders_with_their_lines_and_keeps_its_own_tasks(new_site: NewSite) -> None:
    site = new_site("shop", ROOT / "tests" / "hosts" / "oscar")
    sources = [path.read_text() for path in (site.folder / "shop").glob("*.py")]
    assert sum(text.count("# Carryall\n") for text in sources) <= 10
    checked = site.manage("check")
    assert "exports" not in checked
    assert "notifications" not in checked
    site.manage("migrate", "--run-syncdb")
    site.manage("shell", given=OSCAR_ROWS)
    site.start()
    site.manage("shell", given="from shop.celery import charge; charge.delay('4711')")
    ada = site.sign_in("ada")
    orders = ada.get("/accounts/orders/")
    assert "navbar" in orders.text, "oscar's own page"
    link = re.search(r'href="(/me/exports/\?dataset=orders[^"]*)"', orders.text)
    assert link, "the button leads to the form"
    assert 'id="content_inner"' in ada.get(link[1]).text, "the form is in oscar's layout"
    archive = ZipFile(io.BytesIO(exported(ada, dataset="orders", format="csv", period="all").body))
    tables = {name: archive.read(name).decode("utf-8-sig") for name in archive.namelist() if name.endswith(".csv")}
    assert len(tables) == 2
    parents, lines = sorted((list(csv.DictReader(io.StringIO(text))) for text in tables.values()), key=len)
    assert [row["Order number"] for row in parents] == ["ada-0", "ada-1", "ada-2"]
    assert len(lines) == 6
    charges = site.folder / "charges.txt"
    wait_until(charges.exists, what="the task of the shop")
    assert charges.read_text() == "4711\n"
    assert site.browser().get("/catalogue/").status == 200
    assert "Traceback" not in site.log("worker") + site.log("web") + site.log("beat")


# --- both -----------------------------------------------------------------------------------------------------------


def exported(client: Browser, **choices: str) -> Answer:
    """Press the button of the form with these choices, wait for the export, and return its file."""
    page = client.get("/me/exports/")
    pressed = client.post("/me/exports/", choices | {"csrfmiddlewaretoken": token_in(page)})
    assert pressed.status == 303, pressed.text[:3000]
    address = pressed.location

    def ready() -> Answer | None:
        found = client.get(address)
        assert "ca-chip-failed" not in found.text, found.text
        return found if "/download/" in found.text else None

    wait_until(ready, 60, 0.3, what=f"the export {address}")
    file = client.get(f"{address}download/")
    assert file.status == 200
    return file
