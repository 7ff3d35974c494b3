// One prompt to one to four columns, each with a model of its own; their answers stream together.

import {ApiError, curlOf, getJson, stream} from "./api.js";
import {announce, byId, count, duration, el, open, quietButton, rate, setText} from "./dom.js";
import {onState, query, refresh} from "./state.js";

const kColumnsMax = 4;
const columns = [];
let models = [];
let servesChats = true;
let modelsKnown = "";  // what of the state they were read for

const path = () => (servesChats ? "v1/chat/completions" : "v1/completions");

class Column {
  constructor(model) {
    this.messages = [];
    this.abort = null;
    this.head = el("div", {class: "column-head"});
    this.talk = el("div", {class: "talk", tabindex: "0", role: "log", "aria-live": "off"});
    this.figures = el("span", {class: "figures"});
    this.stopButton = quietButton("Stop", () => this.stop(), {hidden: true});
    this.root = el("article", {class: "column"}, this.head, this.talk,
      el("div", {class: "column-foot"}, this.figures, this.stopButton,
        quietButton("Copy as curl", () => this.copy())));
    this.offer(model);
    this.clear();
  }

  get model() {
    return this.choice.value;
  }

  // Lets the user choose among the models that there are now.
  offer(model) {
    const names = models.includes(model) ? models : [model, ...models];
    this.choice = el("select", {}, ...names.map((name) => el("option", {value: name}, name)));
    this.choice.value = model;
    this.choice.addEventListener("change", () => {
      this.clear();
      showColumns();
    });
    this.removeButton = quietButton("Remove", () => remove(this));
    this.head.replaceChildren(this.choice, this.removeButton);
  }

  clear() {
    this.stop();
    this.messages = [];
    this.talk.replaceChildren(el("p", {class: "nothing"}, "No messages yet"));
    this.figures.replaceChildren();
  }

  bodyFor(messages) {
    const number = (id) => (byId(id).value === "" ? undefined : Number(byId(id).value));
    const system = byId("system").value;
    const all = system ? [{role: "system", content: system}, ...messages] : messages;
    const prompt = servesChats ? {messages: all} : {prompt: all.map((message) => message.content).join("\n")};
    return {
      model: this.model, ...prompt, temperature: number("temperature"), max_tokens: number("max-tokens"), seed: number("seed"),
      stream: true, stream_options: {include_usage: true},
    };
  }

  async ask(text) {
    if (this.messages.length === 0) this.talk.replaceChildren();
    this.messages.push({role: "user", content: text});
    const answer = el("div", {class: "answer streaming"});
    this.talk.append(el("div", {class: "asked"}, text), answer);
    this.talk.scrollTop = this.talk.scrollHeight;
    this.abort = new AbortController();
    this.stopButton.hidden = false;
    const meter = new Meter(this);
    const sentences = new Sentences(this.model);
    let whole = "";
    try {
      await stream(path(), this.bodyFor(this.messages), this.abort.signal, (event) => {
        const choice = event.choices[0];
        if (event.usage) meter.tokens = event.usage.completion_tokens;
        if (!choice) return;
        meter.countEvent();
        const part = choice.delta?.content ?? choice.text ?? "";
        if (!part) return;
        const isAtEnd = this.talk.scrollHeight - this.talk.scrollTop - this.talk.clientHeight < 40;
        whole += part;
        answer.append(part);
        sentences.add(part);
        if (isAtEnd) this.talk.scrollTop = this.talk.scrollHeight;
      });
      meter.show();
    } catch (failure) {
      if (failure.name === "AbortError") {
        meter.show("stopped");
      } else {
        meter.show("failed");
        this.talk.append(el("p", {class: "error", role: "alert"}, failure.message));
        if (failure instanceof ApiError && failure.status === 401) refresh();
      }
    }
    sentences.end();
    answer.normalize();
    answer.classList.remove("streaming");
    this.messages.push({role: "assistant", content: whole});
    this.abort = null;
    this.stopButton.hidden = true;
  }

  stop() {
    this.abort?.abort();
  }

  copy() {
    const draft = byId("prompt").value;
    const asked = this.messages.slice(0, this.messages.findLastIndex((message) => message.role === "user") + 1);
    const messages = draft || asked.length === 0 ? [...this.messages, {role: "user", content: draft || "Hello"}] : asked;
    byId("curl-text").value = curlOf(path(), this.bodyFor(messages));
    setText(byId("curl-hint"), "");
    open(byId("curl"));
  }
}

// What a client sees: the time to the first token, and tokens a second after it.
class Meter {
  constructor(column) {
    this.column = column;
    this.begin = performance.now();
    this.first = this.last = null;
    this.events = 0;
    this.tokens = null;  // as the server counted them
    column.figures.replaceChildren("waiting");
  }

  countEvent() {
    this.last = performance.now();
    this.first ??= this.last;
    ++this.events;
    if (this.events % 4 === 1) this.show();
  }

  show(end = "") {
    const tokens = this.tokens ?? this.events;
    const speed = tokens > 1 && this.last > this.first ? ((tokens - 1) * 1000) / (this.last - this.first) : null;
    const first = this.first === null ? null : (this.first - this.begin) / 1000;
    this.column.figures.replaceChildren(el("b", {}, rate(speed)), " tokens/s · first after ", el("b", {}, duration(first)),
      ` · ${count(tokens)} tokens`, end ? ` · ${end}` : "");
  }
}

// Announces an answer sentence by sentence: token by token nobody could listen to it.
class Sentences {
  constructor(model) {
    this.model = model;
    this.text = "";
  }

  add(part) {
    this.text += part;
    const end = this.text.search(/[.!?…]\s/);
    if (end < 0) return;
    announce(`${this.model}: ${this.text.slice(0, end + 1)}`);
    this.text = this.text.slice(end + 2);
  }

  end() {
    announce(`${this.model}: ${this.text} End of the answer.`);
  }
}

function showColumns() {
  columns.forEach((column, index) => {
    column.root.setAttribute("aria-label", `Column ${index + 1}: ${column.model}`);
    column.talk.setAttribute("aria-label", `Conversation with ${column.model}`);
    column.choice.setAttribute("aria-label", `Model of column ${index + 1}`);
    column.removeButton.hidden = columns.length === 1;
    column.removeButton.setAttribute("aria-label", `Remove column ${index + 1}`);
  });
  byId("columns").replaceChildren(...columns.map((column) => column.root));
  byId("add-column").disabled = columns.length === kColumnsMax;
}

function remove(column) {
  column.stop();
  columns.splice(columns.indexOf(column), 1);
  showColumns();
  byId("add-column").focus();
}

function addColumn() {
  if (columns.length === kColumnsMax || models.length === 0) return;
  const used = columns.map((column) => column.model);
  columns.push(new Column(models.find((model) => !used.includes(model)) ?? models[0]));
  showColumns();
}

async function readModels() {
  const answer = await getJson("v1/models");
  models = answer.data.map((model) => model.id);
  if (columns.length === 0) {
    addColumn();
    if (models.length > 1) addColumn();
  }
  for (const column of columns) column.offer(column.model);
  showColumns();
}

async function send(event) {
  event.preventDefault();
  const text = byId("prompt").value.trim();
  if (!text || columns.length === 0 || columns.some((column) => column.abort)) return;
  byId("prompt").value = "";
  byId("stop-all").hidden = false;
  byId("send").hidden = true;
  await Promise.all(columns.map((column) => column.ask(text)));
  byId("stop-all").hidden = true;
  byId("send").hidden = false;
}

const stopAll = () => columns.forEach((column) => column.stop());

export function startChat() {
  byId("composer").addEventListener("submit", send);
  byId("prompt").addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    byId("composer").requestSubmit();
  });
  byId("prompt").addEventListener("input", ({target}) => {
    target.rows = Math.min(Math.max(target.value.split("\n").length, 2), 10);
  });
  byId("view-chat").addEventListener("keydown", (event) => {
    if (event.key === "Escape") stopAll();
  });
  byId("stop-all").addEventListener("click", stopAll);
  byId("add-column").addEventListener("click", addColumn);
  byId("new-chat").addEventListener("click", () => {
    for (const column of columns) column.clear();
    byId("prompt").focus();
  });
  byId("curl-copy").addEventListener("click", async () => {
    byId("curl-text").select();
    try {
      await navigator.clipboard.writeText(byId("curl-text").value);
      setText(byId("curl-hint"), "Copied.");
    } catch {
      setText(byId("curl-hint"), "The browser does not let the page copy here; the text is selected.");
    }
  });
  onState((state) => {
    if (!state) return;
    servesChats = state.model.serves_chats;
    if (query.filter || query.after) return;  // then the list says nothing about the others
    const known = `${state.adapters.registered} ${state.adapters.refused} ${state.adapters.list.map((each) => each.name)}`;
    if (known === modelsKnown) return;
    modelsKnown = known;
    readModels().catch(() => {
      modelsKnown = "";  // the next look tries again
    });
  });
}
