// The server that the extension starts, asked by the library that the extension asks with.
//
// PIPECTL_COMMAND is a JSON list of words that start pipectl, as the setting `pipectl.command` is; the Python suite sets it.

"use strict";

const assert = require("node:assert");
const { spawn } = require("node:child_process");
const test = require("node:test");
const rpc = require("vscode-jsonrpc/node");
const { commandLine } = require("../src/command");

const TEXT = `pipe 1
stage half(x: f32[N]) -> (y: f32[N]) using python("m:f")
pipeline whole(x: f32[N]) -> (y: f32[N]) {
  z = half(x)
  return y = half(z, 1)
}
`;

const options = { skip: !process.env.PIPECTL_COMMAND, timeout: 60_000 };

test("a session", options, async () => {
  const { command, args } = commandLine(JSON.parse(process.env.PIPECTL_COMMAND), process.cwd());
  const server = spawn(command, [...args, "--stdio"], { stdio: ["pipe", "pipe", "inherit"] });
  try {
    await session(server);
  } finally {
    server.kill(); // a test that fails must not wait for it
  }
});

async function session(server) {
  const ended = new Promise((resolve) => server.on("exit", resolve));
  const reader = new rpc.StreamMessageReader(server.stdout);
  const connection = rpc.createMessageConnection(reader, new rpc.StreamMessageWriter(server.stdin));
  const told = new Promise((resolve) => connection.onNotification("textDocument/publishDiagnostics", resolve));
  connection.listen();

  const able = { textDocument: { rename: { prepareSupport: true } } };
  const client = { capabilities: able, processId: null, rootUri: null };
  const { capabilities } = await connection.sendRequest("initialize", client);
  assert.ok(capabilities.hoverProvider);
  assert.ok(capabilities.renameProvider.prepareProvider);
  await connection.sendNotification("initialized", {});
  const textDocument = { uri: "untitled:one", languageId: "pipe", version: 1, text: TEXT };
  await connection.sendNotification("textDocument/didOpen", { textDocument });
  const { diagnostics } = await told;
  assert.deepStrictEqual(diagnostics.map((d) => d.code), ["E0401"]);

  const hover = await connection.sendRequest("textDocument/hover", {
    textDocument: { uri: "untitled:one" },
    position: { line: 3, character: 2 },
  });
  assert.match(hover.contents.value, /z: f32\[N\]/);

  await connection.sendRequest("shutdown");
  await connection.sendNotification("exit");
  assert.strictEqual(await ended, 0);
  connection.dispose();
}
