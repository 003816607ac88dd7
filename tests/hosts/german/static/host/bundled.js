// As in a bundle: htmx runs, but is not a global.
delete window.htmx;
