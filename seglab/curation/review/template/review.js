"use strict";
const sheet = JSON.parse(document.getElementById("sheet").textContent);
const items = sheet.items;
const at = (id) => document.getElementById(id);
const buttons = [...document.querySelectorAll("[data-decision]")];
// Items whose decision lies in this page alone, neither in the browser nor in a saved file.
const unwritten = new Set();
const decided = {};
let place = 0;
let memory = null;
let forgets = false;

// IndexedDB, an entry for each item, and not localStorage: of that, Chromium sometimes shows a reloaded
// page an older state, and a reviewer who went on from there would overwrite later decisions.
function openMemory() {
  const request = indexedDB.open("seglab-review", 1);
  request.onupgradeneeded = () => request.result.createObjectStore("decisions");
  return result(request);
}

function result(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function recall() {
  // A browser may forbid storage to pages from a disk; the sheet then works until it is closed.
  try {
    memory = await openMemory();
    const entries = memory.transaction("decisions").objectStore("decisions");
    const stored = await Promise.all(items.map((item) => result(entries.get([sheet.id, item.id]))));
    items.forEach((item, number) => {
      if (stored[number]) {
        decided[item.id] = stored[number];
      }
    });
  } catch {
    forgets = true;
  }
}

async function remember(item) {
  unwritten.add(item.id);
  try {
    const writing = memory.transaction("decisions", "readwrite");
    writing.objectStore("decisions").put(decided[item.id], [sheet.id, item.id]);
    writing.commit(); // at once, should the page be closed in this moment
    await new Promise((resolve, reject) => {
      writing.oncomplete = resolve;
      writing.onabort = () => reject(writing.error);
    });
    unwritten.delete(item.id);
  } catch {
    forgets = true;
    refresh();
  }
}

function say(text) {
  at("said").textContent = text;
}

const entry = (item) => decided[item.id] || {};
const count = () => items.filter((item) => entry(item).decision).length;

function show(number) {
  place = Math.min(Math.max(number, 0), items.length - 1);
  const item = items[place];
  at("image").src = item.image;
  at("mask").src = item.mask;
  at("place").textContent = `${place + 1} of ${items.length}` + (item.name ? `: ${item.name}` : "");
  at("note").value = entry(item).note || "";
  for (const one of document.querySelectorAll("[data-class]")) {
    one.hidden = !item.classes.includes(Number(one.dataset.class));
  }
  refresh();
}

function refresh() {
  const decision = entry(items[place]).decision;
  for (const button of buttons) {
    button.setAttribute("aria-pressed", String(button.dataset.decision === decision));
  }
  at("progress").value = count();
  const left = items.length - count();
  const done = left ? `${count()} of ${items.length} decided.` : `All ${items.length} decided: save them.`;
  say(forgets ? `${done} This browser keeps nothing: save before you close the page.` : done);
}

function decide(decision) {
  const item = items[place];
  decided[item.id] = { ...entry(item), decision };
  refresh();
  remember(item);
  if (place < items.length - 1) {
    show(place + 1);
  }
}

function nextUndecided() {
  for (let step = 1; step <= items.length; step += 1) {
    const number = (place + step) % items.length;
    if (!entry(items[number]).decision) {
      show(number);
      return;
    }
  }
}

function save() {
  const decisions = items
    .filter((item) => entry(item).decision)
    .map((item) => ({ sample: item.id, do: entry(item).decision, note: entry(item).note || "" }));
  const text = JSON.stringify({ decisions }, null, 2) + "\n";
  const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = `decisions-${sheet.id}.json`;
  link.click();
  decisions.forEach((one) => unwritten.delete(one.sample));
  setTimeout(() => URL.revokeObjectURL(url), 10000);
  say(`${decisions.length} of ${items.length} decisions saved.`);
}

function setOpacity(percent) {
  at("opacity").value = percent;
  at("mask").style.opacity = String(percent / 100);
}

let before = 50;
function toggleMask() {
  const now = Number(at("opacity").value);
  if (now > 0) {
    before = now;
  }
  setOpacity(now > 0 ? 0 : before);
}

const keys = {
  a: () => decide("keep"),
  r: () => decide("relabel"),
  d: () => decide("drop"),
  j: () => show(place + 1),
  k: () => show(place - 1),
  n: () => at("note").focus(),
  m: toggleMask,
  u: nextUndecided,
};

function listen() {
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && event.target === at("note")) {
      at("note").blur();
      return;
    }
    const typing = event.target === at("note") || event.ctrlKey || event.metaKey || event.altKey;
    if (!typing && Object.hasOwn(keys, event.key)) {
      event.preventDefault();
      keys[event.key]();
    }
  });
  for (const button of buttons) {
    button.addEventListener("click", () => decide(button.dataset.decision));
  }
  at("back").addEventListener("click", () => show(place - 1));
  at("next").addEventListener("click", () => show(place + 1));
  at("save").addEventListener("click", save);
  at("opacity").addEventListener("input", () => setOpacity(Number(at("opacity").value)));
  at("note").addEventListener("input", () => {
    const item = items[place];
    decided[item.id] = { ...entry(item), note: at("note").value };
    remember(item);
  });
  addEventListener("beforeunload", (event) => {
    if (unwritten.size) {
      event.preventDefault();
    }
  });
}

async function start() {
  await recall();
  setOpacity(50);
  show(0);
  if (entry(items[0]).decision) {
    nextUndecided();
  }
  listen();
}

start();
