// What the pages do beyond HTML, CSS and htmx. Without this file everything still works.
"use strict";

// --- The form: one dataset's description at a time. ---
function describe(root) {
  const select = root.querySelector("[data-describes]");
  if (!select) return;
  const show = () => {
    for (const text of root.querySelectorAll("[data-description]")) {
      text.hidden = text.dataset.description !== select.value;
    }
  };
  select.addEventListener("change", show);
  show();
}

// --- Copying. ---
async function copy(button) {
  const words = button.querySelector("[data-words]");
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    words.textContent = button.dataset.done;
  } catch {
    const text = document.getElementById(button.dataset.from);
    getSelection().selectAllChildren(text); // no clipboard without HTTPS: select it for the user's own copy
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) copy(button);
});

// --- htmx: errors that the server wants shown, and a connection that is lost. ---
const trouble = () => document.querySelector("#export-form [data-unreachable]");

document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.isError && event.detail.xhr.getResponseHeader("HX-Retarget")) {
    event.detail.shouldSwap = true;
    event.detail.isError = false;
  }
});

for (const name of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(name, (event) => {
    if (event.detail.requestConfig?.verb === "post") {
      if (trouble()) trouble().hidden = false;
    } else {
      document.documentElement.classList.add("offline");
    }
  });
}

document.addEventListener("htmx:afterOnLoad", (event) => {
  if (event.detail.xhr.status < 400) document.documentElement.classList.remove("offline");
});

// --- The bell asks for no news while nobody looks, or while its menu is open. ---
document.addEventListener("htmx:beforeRequest", (event) => {
  const bell = event.detail.elt.id === "bell" && event.detail.elt;
  if (bell && (document.hidden || bell.querySelector("details[open]"))) event.preventDefault();
});

document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.bell-menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

document.addEventListener("keydown", (event) => {
  const menu = event.key === "Escape" && document.querySelector("details.bell-menu[open]");
  if (menu) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

// Runs at the first load, and again when htmx has put a new form in place.
document.addEventListener("htmx:load", (event) => describe(event.detail.elt.parentElement ?? document));
document.documentElement.classList.add("js");
