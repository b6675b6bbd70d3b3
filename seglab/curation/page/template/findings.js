"use strict";
const all = [...document.querySelectorAll("article")];
const kind = document.getElementById("kind");
const place = document.getElementById("place");
let shown = all;
let current = -1;

function go(to) {
  if (!shown.length) return;
  if (current >= 0 && shown[current]) shown[current].classList.remove("current");
  current = Math.max(0, Math.min(to, shown.length - 1));
  shown[current].classList.add("current");
  shown[current].scrollIntoView({ block: "start" });
  place.textContent = `${current + 1} of ${shown.length}`;
}

function filter() {
  all.forEach((one) => {
    one.classList.remove("current");
    one.hidden = kind.value !== "" && one.dataset.kind !== kind.value;
  });
  shown = all.filter((one) => !one.hidden);
  current = -1;
  place.textContent = `${shown.length} findings`;
}

kind.addEventListener("change", () => { filter(); kind.blur(); });
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target === kind) return;
  if (event.key === "j") go(current + 1);
  else if (event.key === "k") go(current - 1);
  else if (event.key === "f") {
    kind.selectedIndex = (kind.selectedIndex + 1) % kind.options.length;
    filter();
    go(0);
  }
});
filter();
