"use strict";
const sheet = JSON.parse(document.getElementById("sheet").textContent);
const items = sheet.items;
const stored = `seglab-review-${sheet.id}`;
const at = (id) => document.getElementById(id);
const buttons = [...document.querySelectorAll("[data-decision]")];
let decided = {};
let place = 0;

function recall() {
  // A browser may forbid storage to pages from a disk; the sheet then works until it is closed.
  try {
    decided = JSON.parse(localStorage.getItem(stored)) || {};
  } catch {
    decided = {};
  }
}

function keepInBrowser() {
  try {
    localStorage.setItem(stored, JSON.stringify(decided));
  } catch {
    say("This browser keeps nothing: save before you close the page.");
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
  say(left ? `${count()} of ${items.length} decided` : `All ${items.length} decided: save them.`);
}

function decide(decision) {
  const item = items[place];
  decided[item.id] = { ...entry(item), decision };
  refresh();
  keepInBrowser();
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
  keepInBrowser();
});
recall();
setOpacity(50);
show(0);
if (entry(items[0]).decision) {
  nextUndecided();
}
