"use strict";

const at = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
let asked = 0; // only the answer to the newest image is shown
let shown = "";
let waiting = null; // an image that came before the key

const headers = () => {
  const key = sessionStorage.getItem("key");
  return key ? { Authorization: `Bearer ${key}` } : {};
};

async function failure(response) {
  const again = response.headers.get("Retry-After");
  const text = await response.json().then((body) => body.error.message, () => response.statusText);
  return `${response.status}: ${text}${again ? ` (after ${again} s)` : ""}`;
}

function askForKey(text) {
  sessionStorage.removeItem("key");
  at("access").hidden = false;
  at("status").textContent = "";
  at("error").textContent = text;
  at("key").focus();
}

async function describe() {
  let response;
  try {
    response = await fetch("info", { headers: headers() });
  } catch {
    at("error").textContent = "The service cannot be reached.";
    return;
  }
  if (response.status === 401) {
    askForKey("This service asks for an API key.");
    return;
  }
  if (!response.ok) {
    at("error").textContent = await failure(response);
    return;
  }
  const info = await response.json();
  at("access").hidden = true;
  at("model").textContent = info.model.name;
  document.title = info.model.name;
  const size = Math.floor(info.limits.max_bytes / 2 ** 20);
  at("about").textContent =
    `${info.class_names.length} classes · ${info.model.variant} · bundle ${info.model.id} · up to ${size} MB`;
}

async function predict(file) {
  const mine = ++asked;
  at("error").textContent = "";
  at("status").textContent = `Predicting ${file.name || "the image"} …`;
  const start = performance.now();
  let response, answer;
  try {
    response = await fetch("v1/predict?output=mask&output=areas", {
      method: "POST",
      body: file,
      headers: { ...headers(), "Content-Type": "application/octet-stream" },
    });
    if (response.ok) answer = await response.json();
  } catch {
    if (mine === asked) report("The service cannot be reached.");
    return;
  }
  const passed = performance.now() - start;
  if (mine !== asked) return;
  if (response.status === 401) {
    waiting = file;
    askForKey(await failure(response));
  } else if (!response.ok) {
    report(await failure(response));
  } else {
    show(file, answer, passed);
  }
}

function report(text) {
  at("status").textContent = "";
  at("error").textContent = text;
  at("result").hidden = true;
}

function show(file, answer, passed) {
  const [image] = answer.images;
  URL.revokeObjectURL(shown);
  shown = URL.createObjectURL(file);
  at("image").hidden = false;
  at("image").src = shown;
  at("mask").src = at("download").href = `data:image/png;base64,${image.mask}`;
  at("status").textContent = `${file.name || "Image"}, ${image.width} x ${image.height}`;
  const took = answer.milliseconds;
  at("latency").textContent =
    `${took.total.toFixed(0)} ms in the service (model ${took.predict.toFixed(0)} ms), ` +
    `${passed.toFixed(0)} ms in all`;
  const areas = [...image.areas].sort((a, b) => b.pixels - a.pixels);
  at("areas").replaceChildren(...areas.map(row));
  at("result").hidden = false;
}

function row(area) {
  const line = document.createElement("tr");
  const name = document.createElement("th");
  name.scope = "row";
  const swatch = document.createElementNS(SVG, "svg");
  swatch.setAttribute("class", "swatch");
  swatch.setAttribute("aria-hidden", "true");
  const fill = document.createElementNS(SVG, "rect");
  fill.setAttribute("width", "100%");
  fill.setAttribute("height", "100%");
  fill.setAttribute("fill", `rgb(${area.colour.join(",")})`);
  swatch.append(fill);
  name.append(swatch, area.name);
  const value = document.createElement("td");
  const bar = document.createElement("meter");
  bar.value = area.share;
  bar.setAttribute("aria-hidden", "true");
  const share = document.createElement("span");
  share.textContent = `${(100 * area.share).toFixed(1)} %`;
  value.append(bar, share);
  line.append(name, value);
  return line;
}

at("file").addEventListener("change", (event) => {
  const [file] = event.target.files;
  if (file) predict(file);
  event.target.value = ""; // the same file may be chosen again
});
// A format that the browser cannot show, such as TIFF: the mask alone.
at("image").addEventListener("error", () => (at("image").hidden = true));
at("opacity").addEventListener("input", (event) => {
  at("mask").style.opacity = event.target.value / 100;
  at("percent").textContent = `${event.target.value} %`;
});
at("access").addEventListener("submit", async (event) => {
  event.preventDefault();
  sessionStorage.setItem("key", at("key").value);
  at("key").value = "";
  at("error").textContent = "";
  await describe();
  if (waiting && at("access").hidden) predict(waiting);
  waiting = null;
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  addEventListener(kind, (event) => {
    event.preventDefault();
    at("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files.length) predict(event.dataTransfer.files[0]);
  });
}
addEventListener("paste", (event) => {
  if (event.clipboardData.files.length) predict(event.clipboardData.files[0]);
});
describe();
