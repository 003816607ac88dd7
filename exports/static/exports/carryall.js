// Behaviour of the pages beyond HTML, CSS and htmx. The pages also work without this file.
"use strict";

(() => {
  const own = document.currentScript;
  own.closest(".carryall").classList.add("ca-js");
  const loaded = Symbol.for("carryall");
  if (document[loaded]) return; // a page can have several of our elements, each with this script
  document[loaded] = true;

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
    const columns = form.querySelector("#carryall-columns");
    const chosen = bundle ? ticked(form, "datasets") : [dataset.value];
    const undated = [...dataset.options].some((option) => chosen.includes(option.value) && option.matches("[data-undated]"));
    const periods = form.querySelector(".ca-periods");
    periods.hidden = periods.disabled = undated; // disabled inputs are not sent, so the server exports all rows
    form.querySelector("[data-no-periods]").hidden = !undated;
    if (columns.dataset.columns !== chosen.join()) {
      hideErrors(columns);
      columns.dispatchEvent(new CustomEvent("datasets", { detail: { chosen: chosen.join() } }));
    }
    count(form);
  }

  // Only now are the fields on their way: before htmx has arrived, nobody hears the event above.
  document.addEventListener("htmx:beforeRequest", ({ detail }) => {
    const chosen = detail.requestConfig?.triggeringEvent?.detail?.chosen;
    if (detail.elt.id === "carryall-columns" && chosen) detail.elt.dataset.columns = chosen;
  });

  // Hide the errors of a field that was changed.
  function hideErrors(input) {
    for (const fault of input.closest(".ca-field")?.querySelectorAll(".ca-fault") ?? []) fault.hidden = true;
  }

  function count(form) {
    const words = form.querySelector("[data-count]");
    const all = form.querySelectorAll('[name="fields"]').length;
    words.textContent = all ? fill(words.dataset.words, ticked(form, "fields").length, all) : "";
  }

  document.addEventListener("change", (event) => {
    const form = event.target.closest("#carryall-form");
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
    const button = event.target.closest('#carryall-columns [name="change"]');
    if (!button) return;
    event.preventDefault();
    const column = button.closest("li");
    change(button.closest("#carryall-columns").querySelector("ol"), button.value.split(":")[0], column);
    if (!column) return;
    const [up, down] = column.querySelectorAll("button");
    (getComputedStyle(button).visibility === "hidden" ? (button === up ? down : up) : button).focus();
  });

  document.addEventListener("pointerdown", (event) => {
    const handle = event.target.closest("#carryall-columns .ca-handle");
    if (!handle || event.button) return;
    const column = handle.closest("li");
    const list = column.parentElement;
    event.preventDefault();
    handle.setPointerCapture(event.pointerId);
    column.classList.add("ca-dragged");
    const move = ({ clientY }) => {
      const above = column.previousElementSibling?.getBoundingClientRect();
      const below = column.nextElementSibling?.getBoundingClientRect();
      // Move the neighbour: an element that is removed from the page loses the pointer capture.
      if (above && clientY < above.top + above.height / 2) column.after(column.previousElementSibling);
      else if (below && clientY > below.top + below.height / 2) column.before(column.nextElementSibling);
      column.scrollIntoView({ block: "nearest" });
    };
    const end = () => {
      column.classList.remove("ca-dragged");
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
    const button = event.target.closest(".carryall [data-copy]");
    if (button) copy(button);
  });

  // --- htmx: show error responses that have a target, and indicate a lost connection. Only inside our own elements. ---
  const wrapper = (event) => event.target.closest?.(".carryall");
  const unreachableMessage = () => document.querySelector("#carryall-form [data-unreachable]");

  document.addEventListener("htmx:beforeSwap", (event) => {
    if (wrapper(event) && event.detail.isError && event.detail.xhr.getResponseHeader("HX-Retarget")) {
      event.detail.shouldSwap = true;
      event.detail.isError = false;
    }
  });

  for (const name of ["htmx:responseError", "htmx:sendError", "htmx:timeout"]) {
    document.addEventListener(name, (event) => {
      if (!wrapper(event)) return;
      if (event.detail.requestConfig?.verb === "post") {
        if (unreachableMessage()) unreachableMessage().hidden = false;
      } else {
        wrapper(event).classList.add("ca-offline");
      }
    });
  }

  document.addEventListener("htmx:afterOnLoad", (event) => {
    if (event.detail.xhr.status < 400) wrapper(event)?.classList.remove("ca-offline");
  });

  // --- The bell is not polled while the page is hidden or the menu is open. ---
  document.addEventListener("htmx:beforeRequest", (event) => {
    const bell = event.detail.elt.id === "carryall-bell" && event.detail.elt;
    if (bell && (document.hidden || bell.querySelector("details[open]"))) event.preventDefault();
  });

  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll("details.ca-bell-menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });

  document.addEventListener("keydown", (event) => {
    const menu = event.key === "Escape" && document.querySelector("details.ca-bell-menu[open]");
    if (menu) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });

  // --- Runs on the first load, and whenever htmx has inserted something. ---
  let title = "";

  function refresh() {
    const form = document.querySelector("#carryall-form");
    if (form?.elements.namedItem("dataset")) show(form);
    const now = document.querySelector("#carryall-export")?.dataset.title.trim() ?? "";
    if (title && now) document.title = document.title.replace(title, now); // the site adds its own words to the title
    title = now;
  }

  document.addEventListener("htmx:load", refresh);

  // --- Load htmx, unless the site has loaded its own, which then serves our elements too. ---
  const CONFIG = { includeIndicatorStyles: false, allowEval: false, historyCacheSize: 0 }; // fits strict security policies

  function loadHtmx() {
    const ours = [...document.querySelectorAll(".carryall [hx-get], .carryall [hx-post]")];
    const served = window.htmx || ours.some((element) => "htmx-internal-data" in element); // a bundled htmx has no global
    if (served || !own.dataset.htmx || !ours.length) return refresh();
    const meta = document.createElement("meta");
    meta.name = "htmx-config";
    meta.content = JSON.stringify(CONFIG);
    const script = document.createElement("script");
    script.src = own.dataset.htmx;
    script.nonce = own.nonce;
    script.addEventListener("load", () => {
      // htmx that arrives shortly before the end of loading waits for an event that has passed. Elements that it has
      // processed are left alone.
      for (const each of document.querySelectorAll(".carryall")) htmx.process(each);
      refresh();
    });
    own.after(meta, script);
  }

  // After all other scripts that the page waits for; an htmx in an async script may arrive even later.
  if (document.readyState === "complete") loadHtmx();
  else if (document.querySelector('script[async][src*="htmx"]')) addEventListener("load", loadHtmx);
  else if (document.readyState === "interactive") setTimeout(loadHtmx);
  else document.addEventListener("DOMContentLoaded", () => setTimeout(loadHtmx));
})();
