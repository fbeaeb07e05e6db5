// The page: which pipelines there are, the chosen one as a graph with live figures, and a form that asks it.

import { draw } from "/page/graph.js";
import { build, request } from "/page/form.js";

const EVERY = 1000;
const byId = (id) => document.getElementById(id);
const state = { pipelines: [], chosen: null, graph: null, fields: [], before: null, at: 0 };

// ---- asking the server

async function ask(path, options = {}) {
  const token = sessionStorage.getItem("token");
  const headers = { ...options.headers, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  const response = await fetch(path, { ...options, headers });
  if (response.status === 401 || response.status === 403) byId("token-form").hidden = false;
  if (!response.ok) throw new Error(await reason(response));
  return response.json();
}

async function reason(response) {
  try {
    return (await response.json()).error;
  } catch {
    return `${response.status} ${response.statusText}`;
  }
}

byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", byId("token").value);
  byId("token-form").hidden = true;
  load();
});

// ---- pipelines

const key = (pipeline) => `${pipeline.name}/${pipeline.version}`;

async function load() {
  try {
    const [server, pipelines] = await Promise.all([ask("/v2"), ask("/pipectl/pipelines")]);
    byId("server").textContent = server.name;
    document.title = server.name;
    state.pipelines = pipelines;
    listed();
    say("ready", "good");
  } catch (error) {
    say(error.message, "bad");
  }
}

function listed() {
  const several = new Map();
  for (const p of state.pipelines) several.set(p.name, (several.get(p.name) || 0) + 1);
  byId("pipelines").replaceChildren(
    ...state.pipelines.map((pipeline) => {
      const item = document.createElement("li");
      const button = document.createElement("button");
      button.textContent = several.get(pipeline.name) > 1 ? `${pipeline.name} (version ${pipeline.version})` : pipeline.name;
      button.addEventListener("click", () => choose(pipeline));
      button.dataset.key = key(pipeline);
      item.append(button);
      return item;
    }),
  );
  byId("nothing").hidden = state.pipelines.length > 0;
  const wanted = decodeURIComponent(location.hash.slice(1));
  const found = state.pipelines.find((p) => key(p) === wanted) || state.pipelines[0];
  if (found) choose(found);
}

function choose(pipeline) {
  state.chosen = pipeline;
  state.before = null;
  history.replaceState(null, "", `#${encodeURIComponent(key(pipeline))}`);
  for (const button of byId("pipelines").querySelectorAll("button")) {
    button.setAttribute("aria-current", String(button.dataset.key === key(pipeline)));
  }
  byId("pipeline").hidden = false;
  byId("name").textContent = pipeline.name;
  byId("doc").replaceChildren(...marked(pipeline.doc));
  state.graph = draw(pipeline);
  byId("graph").replaceChildren(state.graph.svg);
  state.fields = build(byId("request"), pipeline);
  byId("answer").hidden = true;
  byId("figures").querySelector("tbody").replaceChildren();
  figures();
}

// A doc comment's text, what stands between backticks as code.
function marked(text) {
  return text.split("`").map((part, index) => {
    if (index % 2 === 0) return part;
    const code = document.createElement("code");
    code.textContent = part;
    return code;
  });
}

function say(text, kind) {
  byId("state").textContent = text;
  byId("state").className = `state ${kind}`;
}

// ---- figures

async function figures() {
  if (!state.chosen || document.hidden) return;
  const chosen = state.chosen;
  try {
    const all = await ask("/pipectl/figures");
    const now = performance.now();
    const found = all[key(chosen)];
    if (!found || chosen !== state.chosen) return;
    if (state.before) show(found, state.before, (now - state.at) / 1000);
    state.before = found;
    state.at = now;
    say("ready", "good");
  } catch (error) {
    say(error.message, "bad");
  }
}

const per = (now, before, seconds) => (now - before) / seconds;
const mean = (now, before) => (now.count > before.count ? (now.total - before.total) / (now.count - before.count) : null);
const time = (seconds) => {
  if (seconds === null) return "–";
  if (seconds < 1e-3) return `${(seconds * 1e6).toFixed(0)} µs`;
  return seconds < 1 ? `${(seconds * 1e3).toFixed(seconds < 0.01 ? 2 : 1)} ms` : `${seconds.toFixed(2)} s`;
};
const number = (value) => (value >= 100 || value === 0 ? value.toFixed(0) : value.toFixed(1));

function show(now, before, seconds) {
  const rate = per(now.succeeded, before.succeeded, seconds);
  byId("totals").textContent =
    `${number(rate)} requests/s · ${time(mean(now.duration, before.duration))} each · ${now.inflight} inside · ` +
    `${now.waiting} waiting · ${now.succeeded} answered, ${now.failed} failed since start`;
  const lines = new Map();
  const rows = [];
  const stages = new Map();
  const note = (steps) => {
    for (const step of steps) {
      stages.set(step.node, step.stage);
      for (const region of step.regions) note(region.steps);
    }
  };
  note(state.chosen.steps);
  for (const [node, n] of Object.entries(now.nodes)) {
    const b = before.nodes[node] || n;
    const requests = per(n.succeeded, b.succeeded, seconds);
    const batches = n.executions - b.executions;
    const batch = batches ? (n.rows - b.rows) / batches : null;
    const failed = n.failed - b.failed;
    const compute = mean(n.compute, b.compute);
    lines.set(node, { line: `${number(requests)}/s · ${time(compute)}`, failing: failed > 0 });
    rows.push([
      node.slice(state.chosen.name.length + 1), stages.get(node) || "", number(requests),
      batch === null ? "–" : number(batch), n.waiting_rows, time(mean(n.queue, b.queue)), time(compute), n.failed,
    ]);
  }
  state.graph.update(lines);
  byId("figures").querySelector("tbody").replaceChildren(...rows.map((cells) => tableRow(cells, Number(cells[7]) > 0)));
}

function tableRow(cells, bad) {
  const row = document.createElement("tr");
  cells.forEach((cell, index) => {
    const made = document.createElement("td");
    made.append(cell instanceof Node ? cell : String(cell));
    if (bad && index === cells.length - 1) made.className = "bad";
    row.append(made);
  });
  return row;
}

// ---- a request by form

byId("request").addEventListener("submit", async (event) => {
  event.preventDefault();
  const chosen = state.chosen;
  const outputs = byId("outputs");
  outputs.replaceChildren();
  byId("timings").hidden = true;
  byId("answer").hidden = false;
  byId("took").textContent = "…";
  const start = performance.now();
  try {
    if (chosen.streams) await streamed(chosen, outputs);
    else await single(chosen, outputs);
    byId("took").textContent = `in ${time((performance.now() - start) / 1000)}`;
  } catch (error) {
    byId("took").textContent = "failed";
    outputs.append(...pair("error", error.message, "bad"));
  }
});

async function single(chosen, outputs) {
  const { body, headers } = await request(state.fields);
  const path = `/v2/models/${encodeURIComponent(chosen.name)}/versions/${chosen.version}/infer`;
  const answer = await ask(path, { method: "POST", body, headers });
  for (const output of answer.outputs) {
    const single = output.data && output.data.length === 1;
    const text = single ? String(output.data[0]) : JSON.stringify(output.data);
    outputs.append(...pair(output.name, single ? text : `[${output.shape.join(", ")}]  ${text}`));
  }
  const timings = answer.parameters && answer.parameters.pipectl_timings;
  if (timings) bars(JSON.parse(timings));
}

async function streamed(chosen, outputs) {
  const body = {};
  for (const { port, text } of state.fields) {
    if (text.value === "") continue;
    body[port.name] = /^(string|bytes)$/.test(port.type.replace("?", "")) ? text.value : JSON.parse(text.value);
  }
  const path = `/v2/models/${encodeURIComponent(chosen.name)}/versions/${chosen.version}/generate_stream`;
  const token = sessionStorage.getItem("token");
  const headers = { "Content-Type": "application/json", ...(token ? { Authorization: `Bearer ${token}` } : {}) };
  const response = await fetch(path, { method: "POST", body: JSON.stringify(body), headers });
  if (!response.ok) throw new Error(await reason(response));
  const cells = new Map();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    const events = (rest + part.value).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const data = JSON.parse(event.replace(/^data: /, ""));
      if (data.error) throw new Error(data.error);
      for (const [name, value] of Object.entries(data)) {
        if (name === "model_name" || name === "model_version" || name === "id") continue;
        if (!cells.has(name)) {
          const [term, cell] = pair(name, "");
          cells.set(name, cell);
          outputs.append(term, cell);
        }
        cells.get(name).textContent += typeof value === "string" ? value : `${JSON.stringify(value)}\n`;
      }
    }
  }
}

function pair(name, text, kind = "") {
  const term = document.createElement("dt");
  const cell = document.createElement("dd");
  term.textContent = name;
  cell.textContent = text;
  cell.className = kind;
  return [term, cell];
}

function bars(timings) {
  const longest = Math.max(...timings.map((t) => t.start + t.compute), 1e-9);
  byId("timings").querySelector("tbody").replaceChildren(
    ...timings.map((t) => {
      const track = document.createElement("div");
      track.style.marginLeft = `${(100 * t.start) / longest}%`;
      track.style.width = `${(100 * t.compute) / longest}%`;
      const row = tableRow([t.node, time(t.queue), time(t.compute), t.rows, track], false);
      row.lastChild.className = "bar";
      return row;
    }),
  );
  byId("timings").hidden = timings.length === 0;
}

window.addEventListener("hashchange", () => {
  const wanted = decodeURIComponent(location.hash.slice(1));
  const found = state.pipelines.find((p) => key(p) === wanted);
  if (found && found !== state.chosen) choose(found);
});

load();
setInterval(figures, EVERY);
