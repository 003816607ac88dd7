"""Set-up and processes of the site on one machine, called by `make`. Nothing in the site imports it."""
