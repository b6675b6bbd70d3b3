// Everything here only adds to a page that is complete without it: sorting, filtering, reading
// values off charts, blending, dark and light.
(() => {
  "use strict";
  const root = document.documentElement;
  root.classList.add("js");

  // A page opened from a disk may be refused its storage; then the choice lasts as long as the page.
  const memory = {
    get: (key) => { try { return localStorage.getItem(key); } catch { return null; } },
    set: (key, value) => { try { localStorage.setItem(key, value); } catch { /* not remembered */ } },
  };
  const THEME = "seglab-report-theme";
  const remembered = memory.get(THEME);
  if (remembered === "dark" || remembered === "light") root.dataset.theme = remembered;

  function setUpTheme() {
    const button = document.getElementById("theme");
    const system = matchMedia("(prefers-color-scheme: dark)");
    const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
    const show = () => button.setAttribute("aria-pressed", String(isDark()));
    button.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      memory.set(THEME, root.dataset.theme);
      show();
    });
    system.addEventListener("change", show);
    show();
  }

  // Sorting. Undefined cells stay last either way; equal rows keep their order.
  const words = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
  function sortBy(table, index, direction) {
    const body = table.tBodies[0];
    const value = (row) => row.cells[index].dataset.v;
    const sign = direction === "descending" ? -1 : 1;
    const compare = (a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
      const [p, q] = [Number(x), Number(y)];
      return sign * (Number.isNaN(p) || Number.isNaN(q) ? words.compare(x, y) : p - q);
    };
    body.append(...[...body.rows].sort(compare));
  }

  function setUpSorting(table) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, index) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const numeric = head.classList.contains("num");
        const before = head.getAttribute("aria-sort");
        // The first press shows the large numbers, or the letter A, first.
        const first = numeric ? "descending" : "ascending";
        const other = numeric ? "ascending" : "descending";
        const direction = before === first ? other : first;
        heads.forEach((one) => one.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", direction);
        sortBy(table, index, direction);
        say(table.id, `Sorted by ${button.textContent.trim()}, ${direction}`);
      });
    });
  }

  function say(key, text) {
    const place = document.querySelector(`[data-said-of="${CSS.escape(key)}"]`);
    if (place) place.textContent = text;
  }

  function setUpFilter(box) {
    const table = document.getElementById(box.dataset.filter);
    box.addEventListener("input", () => {
      const asked = box.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of table.tBodies[0].rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !asked.every((word) => text.includes(word));
        shown += !row.hidden;
      }
      say(table.id, `${shown} rows`);
    });
  }

  // Charts: the values under the pointer, or under the arrow keys.
  const SVG = "http://www.w3.org/2000/svg";
  const digits = (value) => (Number.isInteger(value) ? String(value) : value.toPrecision(4));

  function setUpChart(svg) {
    const data = JSON.parse(svg.dataset.chart);
    const [left, top, right, bottom] = data.box;
    const places = [...new Set(data.lines.flatMap((line) => line.points.map((p) => p[0])))].sort((a, b) => a - b);
    if (!places.length) return;
    const at = (x) => left + ((x - data.x[0]) / (data.x[1] - data.x[0])) * (right - left);
    const cursor = document.createElementNS(SVG, "line");
    cursor.setAttribute("class", "cursor");
    cursor.setAttribute("y1", top);
    cursor.setAttribute("y2", bottom);
    const tip = document.createElement("div");
    tip.className = "tip";
    tip.hidden = true;
    tip.setAttribute("role", "status");
    svg.parentElement.append(tip);
    svg.tabIndex = 0;
    let index = -1;

    const hide = () => { tip.hidden = true; cursor.remove(); index = -1; };
    const show = (next) => {
      index = Math.max(0, Math.min(places.length - 1, next));
      const x = places[index];
      cursor.setAttribute("x1", at(x));
      cursor.setAttribute("x2", at(x));
      svg.append(cursor);
      const rows = data.lines
        .map((line) => ({ line, point: line.points.find((p) => p[0] === x) }))
        .filter((row) => row.point)
        .sort((a, b) => b.point[1] - a.point[1]);
      tip.replaceChildren(heading(`${data.name} ${digits(x)}`), ...rows.map(tipRow));
      tip.hidden = false;
      tip.classList.toggle("left", at(x) > (left + right) / 2);
    };
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      const unit = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
      const gaps = places.map((x) => Math.abs(at(x) - unit));
      show(gaps.indexOf(Math.min(...gaps)));
    });
    svg.addEventListener("pointerleave", hide);
    svg.addEventListener("blur", hide);
    svg.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (step) { show(index < 0 && step < 0 ? places.length - 1 : index + step); event.preventDefault(); }
      if (event.key === "Escape") hide();
    });
  }

  function heading(text) {
    const element = document.createElement("strong");
    element.textContent = text;
    return element;
  }

  function tipRow({ line, point }) {
    const row = document.createElement("div");
    const mark = document.createElement("i");
    mark.className = line.class;
    const value = document.createElement("b");
    value.textContent = digits(point[1]);
    row.append(mark, value, ` ${line.label}`);
    return row;
  }

  // Failure gallery.
  function setUpCases() {
    const controls = document.getElementById("case-controls");
    if (!controls) return;
    const cases = [...document.querySelectorAll("#cases > .case")];
    const filters = [...controls.querySelectorAll("[data-case-filter]")];
    const shared = document.getElementById("shared-only");
    const lists = new Map(cases.map((one) => [one, Object.fromEntries(
      filters.map((filter) => [filter.dataset.caseFilter, JSON.parse(one.dataset[filter.dataset.caseFilter])]))]));
    const apply = () => {
      let shown = 0;
      for (const one of cases) {
        const fits = filters.every((f) => !f.value || lists.get(one)[f.dataset.caseFilter].includes(f.value));
        one.hidden = !fits || Boolean(shared && shared.checked && Number(one.dataset.runs) < 2);
        shown += !one.hidden;
      }
      document.getElementById("case-count").textContent = `${shown} of ${cases.length} samples`;
      document.getElementById("no-cases").hidden = shown > 0;
    };
    [...filters, shared].forEach((one) => one && one.addEventListener("change", apply));

    const sliders = [...document.querySelectorAll(".panel .opacity")];
    const blend = (slider) => {
      slider.closest(".panel").style.setProperty("--over", slider.value / 100);
      slider.setAttribute("aria-valuetext", `${slider.value} per cent`);
    };
    sliders.forEach((slider) => slider.addEventListener("input", () => blend(slider)));
    document.getElementById("all-opacity").addEventListener("input", (event) => {
      event.target.setAttribute("aria-valuetext", `${event.target.value} per cent`);
      for (const slider of sliders) { slider.value = event.target.value; blend(slider); }
    });
  }

  // A link to a closed part opens it; on paper all parts are open.
  function openTarget() {
    const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let one = target; one; one = one.parentElement) if (one.tagName === "DETAILS") one.open = true;
    if (target) target.scrollIntoView();
  }

  function setUpPrinting() {
    let closed = [];
    addEventListener("beforeprint", () => {
      closed = [...document.querySelectorAll("details:not([open])")];
      closed.forEach((one) => { one.open = true; });
    });
    addEventListener("afterprint", () => closed.forEach((one) => { one.open = false; }));
  }

  document.addEventListener("DOMContentLoaded", () => {
    setUpTheme();
    document.querySelectorAll("table.sortable").forEach(setUpSorting);
    document.querySelectorAll("[data-filter]").forEach(setUpFilter);
    document.querySelectorAll("svg[data-chart]").forEach(setUpChart);
    setUpCases();
    setUpPrinting();
    addEventListener("hashchange", openTarget);
    openTarget();
  });
})();
