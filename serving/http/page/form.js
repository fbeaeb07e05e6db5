// A form for a pipeline's inputs, and what was typed or chosen as a v2 request: JSON, with files as raw bytes behind it.

const TEXT = new Set(["string", "json", "bytes"]);
const ARRAYS = {
  FP32: Float32Array, FP64: Float64Array, INT8: Int8Array, INT16: Int16Array, INT32: Int32Array, UINT8: Uint8Array,
  UINT16: Uint16Array, UINT32: Uint32Array,
};

const base = (port) => port.type.replace(/^stream /, "").replace(/[[?].*$/, "");
const isImage = (port) => port.datatype === "UINT8" && port.shape.length >= 2;

export function build(form, pipeline) {
  form.replaceChildren();
  const fields = pipeline.inputs.map((port) => field(port));
  for (const { row } of fields) form.append(row);
  const send = document.createElement("button");
  send.className = "send";
  send.textContent = "Send";
  form.append(send);
  return fields;
}

function field(port) {
  const row = document.createElement("label");
  const name = document.createElement("span");
  name.append(port.name + (port.required ? "" : " (optional)"));
  const type = document.createElement("span");
  type.className = "type";
  type.textContent = port.type + (port.doc ? ` · ${port.doc}` : "");
  name.append(type);
  const box = document.createElement("div");
  const text = document.createElement("textarea");
  text.name = port.name;
  text.rows = 1;
  text.placeholder = placeholder(port);
  if (port.default !== null && port.default !== undefined) text.value = shown(port.default);
  box.append(text);
  let file = null;
  if (isImage(port) || base(port) === "bytes" || port.datatype in ARRAYS) {
    file = document.createElement("input");
    file.type = "file";
    file.setAttribute("aria-label", `a file for ${port.name}`);
    if (isImage(port)) file.accept = "image/*";
    const preview = document.createElement("img");
    preview.className = "preview";
    preview.hidden = true;
    preview.alt = "";
    file.addEventListener("change", () => {
      const chosen = file.files[0];
      preview.hidden = !(chosen && chosen.type.startsWith("image/"));
      if (!preview.hidden) preview.src = URL.createObjectURL(chosen);
    });
    box.append(file, preview);
  }
  row.append(name, box);
  return { port, row, text, file };
}

function placeholder(port) {
  const kind = base(port);
  if (kind === "bytes") return "a text, or a file";
  if (TEXT.has(kind)) return port.type.includes("[") ? "a text, or a JSON list of texts" : kind === "json" ? "JSON" : "a text";
  return port.type.includes("[") ? "a JSON list, as nested as the type, or a file" : "a number";
}

const shown = (value) => (typeof value === "string" ? value : JSON.stringify(value));

// {body, headers} of a request; throws an Error that names the input at fault.
export async function request(fields) {
  const inputs = [];
  const raw = [];
  for (const { port, text, file } of fields) {
    const chosen = file && file.files[0];
    if (!chosen && text.value === "" && !(port.required && TEXT.has(base(port)))) {
      if (port.required) throw new Error(`${port.name} needs a value`);
      continue;
    }
    const { shape, data, bytes } = chosen ? await fromFile(port, chosen) : fromText(port, text.value);
    const input = { name: port.name, datatype: port.datatype, shape };
    if (bytes) {
      input.parameters = { binary_data_size: bytes.byteLength };
      raw.push(bytes);
    } else {
      input.data = data;
    }
    inputs.push(input);
  }
  const json = new TextEncoder().encode(JSON.stringify({ inputs, parameters: { pipectl_timings: true } }));
  const headers = raw.length ? { "Inference-Header-Content-Length": String(json.byteLength) } : {};
  return { body: new Blob([json, ...raw]), headers: { ...headers, "Content-Type": "application/octet-stream" } };
}

function fromText(port, text) {
  const kind = base(port);
  const listed = port.type.includes("[");
  if (TEXT.has(kind)) {
    const items = listed && text.trim().startsWith("[") ? parsed(port, text).flat(Infinity) : [text];
    return { shape: [items.length], data: items.map((item) => (typeof item === "string" ? item : JSON.stringify(item))) };
  }
  const value = parsed(port, text);
  const shape = [];
  for (let v = value; Array.isArray(v); v = v[0]) shape.push(v.length);
  return { shape: shape.length ? shape : [1], data: [value].flat(Infinity) };
}

function parsed(port, text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`${port.name} is no JSON: write 3, true, [1, 2] or ["a"]`);
  }
}

async function fromFile(port, file) {
  if (isImage(port) && file.type.startsWith("image/")) return fromImage(port, file);
  const content = new Uint8Array(await file.arrayBuffer());
  if (base(port) === "bytes") {
    const bytes = new Uint8Array(4 + content.length);
    new DataView(bytes.buffer).setUint32(0, content.length, true);
    bytes.set(content, 4);
    return { shape: [1], bytes };
  }
  return fromArray(port, content, file.name);
}

// The pixels of an image in the layout that the port's shape asks for.
async function fromImage(port, file) {
  const bitmap = await createImageBitmap(file);
  const batch = port.type.startsWith("u8[*") ? 1 : 0;
  const dims = port.shape.slice(batch);
  const first = dims.length === 3 && [1, 3, 4].includes(dims[0]) && ![1, 3, 4].includes(dims[2]);
  const sizes = dims.length === 2 ? dims : first ? dims.slice(1) : dims.slice(0, 2);
  const [height, width] = [sizes[0] > 0 ? sizes[0] : bitmap.height, sizes[1] > 0 ? sizes[1] : bitmap.width];
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  context.drawImage(bitmap, 0, 0, width, height);
  const pixels = context.getImageData(0, 0, width, height).data;
  const channels = dims.length === 2 ? 1 : [1, 3, 4].includes(first ? dims[0] : dims[2]) ? (first ? dims[0] : dims[2]) : 3;
  const bytes = new Uint8Array(width * height * channels);
  for (let i = 0; i < width * height; i++) {
    const grey = (299 * pixels[4 * i] + 587 * pixels[4 * i + 1] + 114 * pixels[4 * i + 2]) / 1000;
    for (let c = 0; c < channels; c++) {
      bytes[first ? c * width * height + i : i * channels + c] = channels === 1 ? Math.round(grey) : pixels[4 * i + c];
    }
  }
  const inner = dims.length === 2 ? [height, width] : first ? [channels, height, width] : [height, width, channels];
  return { shape: batch ? [1, ...inner] : inner, bytes };
}

// An .npy file of the port's dtype: its header says shape and order.
function fromArray(port, content, name) {
  const magic = String.fromCharCode(...content.slice(1, 6));
  if (magic !== "NUMPY") throw new Error(`${port.name}: ${name} is no .npy file`);
  const view = new DataView(content.buffer);
  const [at, length] = content[6] === 1 ? [10, view.getUint16(8, true)] : [12, view.getUint32(8, true)];
  const header = new TextDecoder("latin1").decode(content.slice(at, at + length));
  const descr = /'descr':\s*'([<|=]?)([a-z])(\d+)'/.exec(header);
  const shape = /'shape':\s*\(([^)]*)\)/.exec(header);
  if (!descr || !shape || /'fortran_order':\s*True/.test(header)) throw new Error(`${port.name}: ${name} has another layout`);
  const datatype = { f: "FP", i: "INT", u: "UINT", b: "BOOL" }[descr[2]] + (descr[2] === "b" ? "" : 8 * Number(descr[3]));
  if (datatype !== port.datatype) throw new Error(`${port.name} is ${port.datatype}, ${name} holds ${datatype}`);
  const sizes = shape[1].split(",").map((s) => s.trim()).filter(Boolean).map(Number);
  return { shape: sizes.length ? sizes : [1], bytes: content.slice(at + length) };
}
