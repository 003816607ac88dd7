"""`make matrix` runs the pairs that the package allows, and says what is against the others."""

from __future__ import annotations

import tomllib
from itertools import product
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.matrix import DJANGOS, PYTHONS, ROOT, reason_against, result

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize(("python", "django"), list(product(PYTHONS[1:], DJANGOS)))
def test_it_runs_what_the_package_allows(python: str, django: str) -> None:
    (ours,) = (need for line in PROJECT["dependencies"] if (need := Requirement(line)).name == "django")
    assert (reason_against(python, django) == "") == ours.specifier.contains(django)
    assert (f"Framework :: Django :: {django}" in PROJECT["classifiers"]) == ours.specifier.contains(django)


def test_a_pair_that_cannot_be_has_a_reason() -> None:
    assert result("3.11", "6.0", Path()) == "not available: Django 6.0 needs Python 3.12"
    assert "django-celery-beat" in result("3.13", "6.1", Path())
