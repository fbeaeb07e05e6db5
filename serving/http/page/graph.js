// Draws a pipeline: inputs, steps by level from left to right, outputs. Constructs are boxes around their regions.
// draw(pipeline) -> {svg, update(figures)}; figures: node -> {line, failing}.

const NS = "http://www.w3.org/2000/svg";
const GAP = { x: 46, y: 16 };
const PAD = { side: 12, top: 26, bottom: 12, arm: 20 };
const LINE = 19;

function element(name, attributes = {}, ...children) {
  const made = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const measure = (() => {
  const context = document.createElement("canvas").getContext("2d");
  return (text, size) => {
    context.font = `${size}px system-ui, sans-serif`;
    return context.measureText(text).width;
  };
})();

// ---- sizes, from the inside out

function sized(step) {
  const title = step.kind === "call" ? step.label : `${step.kind}  ${step.label}`;
  const second = step.kind === "call" && step.stage !== step.label ? step.stage : "";
  const width = Math.max(116, measure(title, 13) + 24, measure(second, 11) + 24);
  if (!step.regions.length) {
    const height = step.kind === "call" ? 52 : 30;
    return { step, title, second, width, height, regions: [] };
  }
  const regions = step.regions.map((region) => ({ name: region.name, ...placed(region.steps) }));
  const inner = Math.max(width, ...regions.map((r) => Math.max(r.width, measure(r.name, 11)) + 2 * PAD.side));
  let y = PAD.top;
  for (const region of regions) {
    region.x = PAD.side;
    region.y = y;
    region.boxHeight = PAD.arm + Math.max(region.height, 8) + PAD.bottom;
    y += region.boxHeight + 8;
  }
  return { step, title, second: "", width: inner + 2 * PAD.side, height: y - 8 + PAD.bottom, regions, inner };
}

// Steps of one region in columns by level; coordinates start at 0, 0.
function placed(steps) {
  const columns = new Map();
  for (const step of steps) {
    if (!columns.has(step.level)) columns.set(step.level, []);
    columns.get(step.level).push(sized(step));
  }
  const levels = [...columns.keys()].sort((a, b) => a - b);
  const heights = levels.map((l) => columns.get(l).reduce((sum, b) => sum + b.height + GAP.y, -GAP.y));
  const height = Math.max(0, ...heights);
  let x = 0;
  const boxes = [];
  levels.forEach((level, index) => {
    const column = columns.get(level);
    const width = Math.max(...column.map((b) => b.width));
    let y = (height - heights[index]) / 2;
    for (const box of column) {
      box.x = x + (width - box.width) / 2;
      box.y = y;
      y += box.height + GAP.y;
      boxes.push(box);
    }
    x += width + GAP.x;
  });
  return { boxes, width: Math.max(0, x - GAP.x), height };
}

// ---- drawing

function ports(list, title) {
  const lines = list.map((port) => `${port.name}: ${port.type}`);
  const shown = lines.map((line) => (line.length > 34 ? line.slice(0, 32) + "…" : line));
  const width = Math.max(80, measure(title, 11) + 24, ...shown.map((line) => measure(line, 12.5) + 24));
  return { lines, shown, title, width, height: 24 + LINE * Math.max(1, list.length) };
}

function drawPorts(box, x, y) {
  const group = element("g", { transform: `translate(${x},${y})` });
  group.append(element("rect", { class: "box", width: box.width, height: box.height, rx: 8 }));
  group.append(element("text", { class: "small", x: 12, y: 16 }, box.title));
  box.shown.forEach((line, i) => {
    const text = element("text", { x: 12, y: 34 + LINE * i }, line);
    text.append(element("title", {}, box.lines[i]));
    group.append(text);
  });
  return group;
}

function edge(from, to) {
  const bend = Math.max(24, (to.x - from.x) / 2);
  return element("path", {
    class: "edge",
    d: `M${from.x},${from.y} C${from.x + bend},${from.y} ${to.x - bend},${to.y} ${to.x},${to.y}`,
  });
}

function drawBox(box, nodes) {
  const { step } = box;
  const group = element("g", { transform: `translate(${box.x},${box.y})`, "data-node": step.node });
  const kind = step.kind === "call" ? "call" : step.regions.length ? "construct" : "box";
  const shape = element("rect", { class: kind, width: box.width, height: box.height, rx: 8 });
  shape.append(element("title", {}, step.node));
  group.append(shape, element("text", { x: 12, y: 20 }, box.title));
  if (box.second) group.append(element("text", { class: "small", x: 12, y: 33 }, box.second));
  if (kind === "call") {
    const figures = element("text", { class: "small", x: 12, y: 46 });
    group.append(figures);
    nodes.set(step.node, { shape, figures });
  }
  for (const region of box.regions) {
    const arm = element("g", { transform: `translate(${region.x},${region.y})` });
    arm.append(element("rect", { class: "arm", width: box.inner, height: region.boxHeight, rx: 6 }));
    arm.append(element("text", { class: "small", x: 8, y: 14 }, region.name));
    const inside = element("g", { transform: `translate(${PAD.side},${PAD.arm})` });
    drawSteps(region.boxes, inside, nodes);
    arm.append(inside);
    group.append(arm);
  }
  return group;
}

function drawSteps(boxes, into, nodes) {
  const by = new Map(boxes.map((box) => [box.step.index, box]));
  for (const box of boxes) {
    for (const producer of box.step.producers) {
      const from = by.get(producer);
      if (from) into.append(edge(right(from), left(box)));
    }
  }
  for (const box of boxes) into.append(drawBox(box, nodes));
}

const right = (box) => ({ x: box.x + box.width, y: box.y + Math.min(box.height / 2, 26) });
const left = (box) => ({ x: box.x, y: box.y + Math.min(box.height / 2, 26) });

export function draw(pipeline) {
  const inputs = ports(pipeline.inputs, "inputs");
  const outputs = ports(pipeline.outputs, "outputs");
  const middle = placed(pipeline.steps);
  const height = Math.max(inputs.height, outputs.height, middle.height) + 16;
  const start = 8 + inputs.width + GAP.x;
  const end = start + middle.width + (middle.boxes.length ? GAP.x : 0);
  const width = end + outputs.width + 8;
  const svg = element("svg", { width, height, viewBox: `0 0 ${width} ${height}` });
  const nodes = new Map();
  const top = (height - middle.height) / 2;
  for (const box of middle.boxes) {
    box.x += start;
    box.y += top;
  }
  const inputY = (height - inputs.height) / 2;
  const outputY = (height - outputs.height) / 2;
  const entry = { x: 8 + inputs.width, y: inputY + inputs.height / 2 };
  for (const box of middle.boxes) if (box.step.producers.includes(-1)) svg.append(edge(entry, left(box)));
  const by = new Map(middle.boxes.map((box) => [box.step.index, box]));
  pipeline.outputs.forEach((port, i) => {
    const target = { x: end, y: outputY + 30 + LINE * i };
    const from = by.get(port.step);
    if (from) svg.append(edge(right(from), target));
    else if (port.step === -1) svg.append(edge(entry, target));
  });
  drawSteps(middle.boxes, svg, nodes);
  svg.append(drawPorts(inputs, 8, inputY), drawPorts(outputs, end, outputY));
  const update = (figures) => {
    for (const [node, { shape, figures: text }] of nodes) {
      const found = figures.get(node);
      text.textContent = found ? found.line : "";
      shape.classList.toggle("failing", Boolean(found && found.failing));
    }
  };
  return { svg, update };
}
