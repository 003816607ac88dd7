"""Run the tests of a site: `python -m tests.hosts minimal`, with further arguments for pytest."""

import sys

import pytest

from tests.hosts import arguments

if __name__ == "__main__":
    sys.exit(pytest.main([*arguments(sys.argv[1]), *sys.argv[2:]]))
