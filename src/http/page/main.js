// The frame: which view is shown, whether the server answers, and keys.

import {startAdapters} from "./adapters.js";
import {givenKeys, useKeys} from "./api.js";
import {startChat} from "./chat.js";
import {byId, open, setText} from "./dom.js";
import {showMemory, startMemory} from "./memory.js";
import {showSpeed, startSpeed} from "./speed.js";
import {onState, refresh} from "./state.js";

const kViews = ["chat", "adapters", "memory", "speed"];
let hasOfferedKeys = false;

function showView() {
  const wanted = location.hash.slice(1);
  const shown = kViews.includes(wanted) ? wanted : kViews[0];
  for (const view of kViews) byId(`view-${view}`).hidden = view !== shown;
  for (const link of document.querySelectorAll("nav a")) {
    const isShown = link.hash === `#${shown}`;
    if (isShown) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
    if (isShown) document.title = `${link.textContent} – slora`;
  }
  scrollTo(0, 0);
  showMemory();
  showSpeed();
}

function showStatus(state, error) {
  const needsKey = error?.status === 401;
  const status = byId("status");
  status.className = error ? "bad" : "good";
  setText(status, needsKey ? "Needs a key" : error ? error.message : "Connected");
  if (state) setText(byId("model-name"), state.model.name);
  if (!needsKey || hasOfferedKeys) return;
  hasOfferedKeys = true;
  openKeys();
}

function openKeys() {
  const given = givenKeys();
  byId("api-key").value = given.api;
  byId("admin-key").value = given.admin;
  byId("keep-keys").checked = given.isKept;
  open(byId("keys"));
}

byId("keys-open").addEventListener("click", openKeys);
byId("keys-form").addEventListener("submit", (event) => {
  event.preventDefault();
  useKeys(byId("api-key").value.trim(), byId("admin-key").value.trim(), byId("keep-keys").checked);
  byId("keys").close();
  refresh();
});
addEventListener("hashchange", showView);

startChat();
startAdapters();
startMemory();
startSpeed();
onState(showStatus);
showView();
refresh();
