// The adapters that the server knows, and what its operator can do with them.

import {postAdmin} from "./api.js";
import {ago, byId, bytes, count, el, open, quietButton, setText} from "./dom.js";
import {onState, query, refresh} from "./state.js";

const kStates = {
  resident: "in the pool",
  loading: "loading",
  on_host: "in host memory",
  on_disk: "on disk",
  refused: "refused",
  unavailable: "unavailable",
};
const kNumbers = ["Rank", "Size", "Pages", "Requests", "Hits"];
const rows = new Map();  // by name

const classOf = (label) => (kNumbers.includes(label) ? "number" : "");

class Row {
  constructor(name) {
    this.name = name;
    this.pin = el("span", {class: "pin"}, "pinned");
    this.state = el("span", {});
    this.reason = el("span", {class: "reason"});
    this.cells = [...kNumbers, "Last use"].map((label) => el("td", {role: "cell", class: classOf(label), "data-label": label}));
    this.pinButton = quietButton("Pin", () => this.changePin());
    const button = (text, action) => quietButton(text, action, {"aria-label": `${text} ${name}`});
    this.root = el("tr", {role: "row"},
      el("th", {role: "rowheader", scope: "row"}, name, this.pin),
      el("td", {role: "cell"}, this.state, this.reason),
      ...this.cells,
      el("td", {role: "cell", class: "row-actions"}, this.pinButton, button("Replace", () => openLoad(name)),
        button("Unload", () => confirmUnload(name))));
  }

  show(adapter) {
    this.isPinned = adapter.is_pinned;
    this.pin.hidden = !adapter.is_pinned;
    this.state.className = `state ${adapter.state}`;
    setText(this.state, kStates[adapter.state] ?? adapter.state);
    setText(this.reason, adapter.reason ?? "");
    const known = (value, text) => (value === null || value === 0 ? "–" : text(value));
    const texts = [
      known(adapter.rank, String), known(adapter.bytes, bytes), known(adapter.pages, count), count(adapter.requests),
      known(adapter.requests, () => `${Math.round((100 * adapter.hits) / adapter.requests)} %`), known(adapter.last_use, ago),
    ];
    this.cells.forEach((cell, index) => setText(cell, texts[index]));
    this.pinButton.hidden = adapter.state === "refused";
    setText(this.pinButton, adapter.is_pinned ? "Unpin" : "Pin");
    this.pinButton.setAttribute("aria-label", `${adapter.is_pinned ? "Unpin" : "Pin"} ${this.name}`);
  }

  async changePin() {
    this.pinButton.disabled = true;
    try {
      await postAdmin(this.isPinned ? "v1/unpin_lora_adapter" : "v1/pin_lora_adapter", {lora_name: this.name});
    } catch (failure) {
      explain(`${this.isPinned ? "Unpin" : "Pin"} ${this.name}`, failure.message);
    }
    this.pinButton.disabled = false;
    this.pinButton.focus();
    refresh();
  }
}

function show(state) {
  const adapters = state.adapters;
  setText(byId("adapters-counts"), `${count(adapters.registered)} known, ${count(adapters.resident)} in the pool, ` +
    `${count(adapters.pinned)} pinned, ${count(adapters.refused)} refused`);
  const wanted = byId("adapter-state").value;
  const listed = adapters.list.filter((adapter) => !wanted || adapter.state === wanted);
  const names = new Set(listed.map((adapter) => adapter.name));
  for (const [name, row] of rows) {
    if (names.has(name)) continue;
    row.root.remove();
    rows.delete(name);
  }
  let after = null;
  for (const adapter of listed) {
    if (!rows.has(adapter.name)) rows.set(adapter.name, new Row(adapter.name));
    const row = rows.get(adapter.name);
    row.show(adapter);
    // Rows that are in place already are not moved, which would take the focus from them.
    const place = after ? after.nextElementSibling : byId("adapter-rows").firstElementChild;
    if (place !== row.root) byId("adapter-rows").insertBefore(row.root, place);
    after = row.root;
  }
  byId("adapters-empty").hidden = listed.length > 0;
  const isFiltered = query.filter || query.after || wanted;
  setText(byId("adapters-empty"), isFiltered ? "No adapter matches." : "This server has no adapters yet. Load one, or start it with --adapters FOLDER.");
  byId("adapters-next").hidden = !adapters.next && !query.after;
  setText(byId("adapters-next"), adapters.next ? `After ${adapters.next}` : "From the first");
  byId("adapters-next").onclick = () => {
    query.after = adapters.next ?? "";
    refresh();
  };
}

// Without a name for a new adapter, with one to replace what it means.
function openLoad(name = "") {
  setText(byId("load-title"), name ? `Replace ${name}` : "Load adapter");
  setText(byId("load-submit"), name ? "Replace" : "Load");
  setText(byId("load-error"), "");
  byId("load-name").value = name;
  byId("load-name").readOnly = name !== "";
  byId("load-path").value = "";
  byId("load-pinned").checked = false;
  open(byId("load"));
  byId(name ? "load-path" : "load-name").focus();
}

function confirmUnload(name) {
  ask(`Unload ${name}?`, "Requests that run with it finish. Its files stay where they are.", "Unload",
    () => postAdmin("v1/unload_lora_adapter", {lora_name: name}));
}

const explain = (title, message) => ask(title, "", "", null, message);

// A question with one answer besides "Cancel"; with no action, something to read.
function ask(title, text, answer, action, error = "") {
  setText(byId("confirm-title"), title);
  setText(byId("confirm-text"), text);
  setText(byId("confirm-error"), error);
  setText(byId("confirm-submit"), answer);
  byId("confirm-submit").hidden = action === null;
  byId("confirm-form").onsubmit = (event) => {
    event.preventDefault();
    if (action) run(byId("confirm"), byId("confirm-submit"), byId("confirm-error"), action);
  };
  open(byId("confirm"));
}

// Does what a dialog is for, and closes it if that succeeded.
async function run(dialog, button, error, action) {
  button.disabled = true;
  setText(error, "");
  try {
    await action();
    dialog.close();
  } catch (failure) {
    const needsKey = failure.status === 401 || failure.status === 403;
    setText(error, needsKey ? `${failure.message} Enter the operator's key under Keys.` : failure.message);
  }
  button.disabled = false;
  refresh();
}

export function startAdapters() {
  byId("adapter-head").append(...["Name", "State", ...kNumbers, "Last use", "Actions"].map((label) =>
    el("th", {role: "columnheader", scope: "col", class: classOf(label)}, label)));
  byId("adapter-state").append(...Object.entries(kStates).map(([value, text]) => el("option", {value}, text)));
  byId("load-open").addEventListener("click", () => openLoad());
  byId("load-form").addEventListener("submit", (event) => {
    event.preventDefault();
    run(byId("load"), byId("load-submit"), byId("load-error"), () => postAdmin("v1/load_lora_adapter", {
      lora_name: byId("load-name").value, lora_path: byId("load-path").value, load_inplace: byId("load-name").readOnly,
      pinned: byId("load-pinned").checked,
    }));
  });
  byId("adapter-filter").addEventListener("input", ({target}) => {
    [query.filter, query.after] = [target.value, ""];
    refresh();
  });
  byId("adapter-state").addEventListener("change", refresh);
  onState((state) => state && show(state));
}
