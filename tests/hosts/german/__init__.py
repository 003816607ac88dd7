"""A small site that is nothing like the demo: in German, with styles of its own, and with few of Django's apps."""
