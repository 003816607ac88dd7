"""How Carryall is set up and run on one machine: what `make` calls. Nothing in the site imports it."""
