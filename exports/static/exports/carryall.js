// Behaviour of the pages beyond HTML, CSS and htmx. The pages also work without this file.
"use strict";

const fill = (words, ...values) => values.reduce((text, value, place) => text.replace(`%${place + 1}`, value), words);

// --- The form: hide what does not apply to the current choices. ---
const ticked = (form, name) => [...form.querySelectorAll(`[name="${name}"]:checked`)].map((input) => input.value);

function show(form) {
  const kind = form.querySelector('[name="format"]:checked');
  const bundle = kind?.matches("[data-bundle]") ?? false;
  const kinds = [kind?.value, ...(bundle ? ticked(form, "inside") : [])];
  const dataset = form.elements.namedItem("dataset");
  for (const text of form.querySelectorAll("[data-description]")) {
    text.hidden = text.dataset.description !== dataset.value;
  }
  for (const option of form.querySelectorAll("[data-for]")) {
    option.hidden = !option.dataset.for.split(" ").some((key) => kinds.includes(key));
  }
  const columns = form.querySelector("#columns");
  const chosen = bundle ? ticked(form, "datasets") : [dataset.value];
  const undated = [...dataset.options].some((option) => chosen.includes(option.value) && option.matches("[data-undated]"));
  const periods = form.querySelector(".periods");
  periods.hidden = periods.disabled = undated; // disabled inputs are not sent, so the server exports all rows
  form.querySelector("[data-no-periods]").hidden = !undated;
  if (columns.dataset.columns !== chosen.join()) {
    columns.dataset.columns = chosen.join();
    hideErrors(columns);
    htmx.trigger(columns, "datasets");
  }
  count(form);
}

// Hide the errors of a field that was changed.
function hideErrors(input) {
  for (const fault of input.closest(".field")?.querySelectorAll(".fault") ?? []) fault.hidden = true;
}

function count(form) {
  const words = form.querySelector("[data-count]");
  const all = form.querySelectorAll('[name="fields"]').length;
  words.textContent = all ? fill(words.dataset.words, ticked(form, "fields").length, all) : "";
}

document.addEventListener("change", (event) => {
  const form = event.target.closest("#export-form");
  if (!form) return;
  const dataset = form.elements.namedItem("dataset");
  const [only, ...more] = ticked(form, "datasets");
  if (event.target === dataset) {
    for (const tick of form.querySelectorAll('[name="datasets"]')) tick.checked = tick.value === dataset.value;
  } else if (event.target.name === "datasets" && only && !more.length) {
    dataset.value = only;
  }
  hideErrors(event.target);
  show(form);
});

// --- The form: reorder the columns by buttons or by dragging. Without JavaScript, the server does it. ---
function announce(list, column) {
  const places = [...list.children];
  const name = column.querySelector("label").textContent.trim();
  const words = fill(list.dataset.moved, name, places.indexOf(column) + 1, places.length);
  list.parentElement.querySelector("[data-announcer]").textContent = words;
}

function change(list, verb, column) {
  if (verb === "all" || verb === "none") {
    for (const input of list.querySelectorAll("input")) input.checked = verb === "all";
  } else if (verb === "reset") {
    list.append(...[...list.children].sort((one, other) => one.dataset.usual - other.dataset.usual));
    return change(list, "all");
  } else if (verb === "up") {
    column.previousElementSibling?.before(column);
  } else {
    column.nextElementSibling?.after(column);
  }
  if (column) announce(list, column);
  list.dispatchEvent(new Event("change", { bubbles: true }));
}

document.addEventListener("click", (event) => {
  const button = event.target.closest('#columns [name="change"]');
  if (!button) return;
  event.preventDefault();
  const column = button.closest("li");
  change(button.closest("#columns").querySelector("ol"), button.value.split(":")[0], column);
  if (!column) return;
  const [up, down] = column.querySelectorAll("button");
  (getComputedStyle(button).visibility === "hidden" ? (button === up ? down : up) : button).focus();
});

document.addEventListener("pointerdown", (event) => {
  const handle = event.target.closest("#columns .handle");
  if (!handle || event.button) return;
  const column = handle.closest("li");
  const list = column.parentElement;
  event.preventDefault();
  handle.setPointerCapture(event.pointerId);
  column.classList.add("dragged");
  const move = ({ clientY }) => {
    const above = column.previousElementSibling?.getBoundingClientRect();
    const below = column.nextElementSibling?.getBoundingClientRect();
    // Move the neighbour: an element that is removed from the page loses the pointer capture.
    if (above && clientY < above.top + above.height / 2) column.after(column.previousElementSibling);
    else if (below && clientY > below.top + below.height / 2) column.before(column.nextElementSibling);
    column.scrollIntoView({ block: "nearest" });
  };
  const end = () => {
    column.classList.remove("dragged");
    handle.removeEventListener("pointermove", move);
    announce(list, column);
    list.dispatchEvent(new Event("change", { bubbles: true }));
  };
  handle.addEventListener("pointermove", move);
  handle.addEventListener("lostpointercapture", end, { once: true });
});

// --- Copying. ---
async function copy(button) {
  const words = button.querySelector("[data-words]");
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    words.textContent = button.dataset.done;
  } catch {
    const text = document.getElementById(button.dataset.from);
    getSelection().selectAllChildren(text); // there is no clipboard without HTTPS: select the text to copy by hand
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) copy(button);
});

// --- htmx: show error responses that have a target, and indicate a lost connection. ---
const unreachableMessage = () => document.querySelector("#export-form [data-unreachable]");

document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.isError && event.detail.xhr.getResponseHeader("HX-Retarget")) {
    event.detail.shouldSwap = true;
    event.detail.isError = false;
  }
});

for (const name of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) {
  document.addEventListener(name, (event) => {
    if (event.detail.requestConfig?.verb === "post") {
      if (unreachableMessage()) unreachableMessage().hidden = false;
    } else {
      document.documentElement.classList.add("offline");
    }
  });
}

document.addEventListener("htmx:afterOnLoad", (event) => {
  if (event.detail.xhr.status < 400) document.documentElement.classList.remove("offline");
});

// --- The bell is not polled while the page is hidden or the menu is open. ---
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

// Runs on the first load, and whenever htmx has inserted a new form.
document.addEventListener("htmx:load", () => {
  const form = document.querySelector("#export-form");
  if (form?.elements.namedItem("dataset")) show(form);
});
document.documentElement.classList.add("js");
