// The manifest names files that are there and a client that can be loaded.

"use strict";

const assert = require("node:assert");
const fs = require("node:fs");
const Module = require("node:module");
const path = require("node:path");
const test = require("node:test");

const ROOT = path.join(__dirname, "..");
const manifest = require("../package.json");

test("every file of the manifest is there", () => {
  const { languages, grammars } = manifest.contributes;
  const files = [manifest.main, languages[0].configuration, grammars[0].path];
  for (const file of files) {
    assert.ok(fs.existsSync(path.join(ROOT, file)), file);
  }
  JSON.parse(fs.readFileSync(path.join(ROOT, languages[0].configuration), "utf8"));
});

test("the client activates with an editor that is not there", async () => {
  const registered = [];
  const shown = [];
  const vscode = fakeEditor(registered, shown);
  const load = Module._load;
  Module._load = (name, ...rest) => {
    if (name === "vscode") {
      return vscode;
    }
    return name === "vscode-languageclient/node" ? fakeClient : load(name, ...rest);
  };
  try {
    const extension = require("../src/extension");
    await extension.activate({ subscriptions: [] });
    assert.deepStrictEqual(registered, ["pipectl.restart"]);
    assert.deepStrictEqual(fakeClient.started, [["pipectl", ["lsp"]]]);
    fakeClient.fails = true;
    await vscode.run();
    assert.strictEqual(fakeClient.stopped, 1);
    assert.match(shown[0], /`pipectl lsp` did not start/);
    await extension.deactivate();
  } finally {
    Module._load = load;
  }
});

const fakeClient = {
  started: [],
  stopped: 0,
  fails: false,
  TransportKind: { stdio: 0 },
  LanguageClient: class {
    constructor(_id, _name, server) {
      this.server = server;
    }
    async start() {
      if (fakeClient.fails) {
        throw new Error("spawn pipectl ENOENT");
      }
      fakeClient.started.push([this.server.command, this.server.args]);
    }
    async stop() {
      fakeClient.stopped += 1;
    }
  },
};

function fakeEditor(registered, shown) {
  const thing = { dispose() {}, appendLine() {} };
  const vscode = {
    commands: {
      registerCommand(name, run) {
        registered.push(name);
        vscode.run = run;
        return thing;
      },
      executeCommand: async () => {},
    },
    window: {
      createOutputChannel: () => thing,
      showErrorMessage: async (text) => {
        shown.push(text);
      },
    },
    workspace: {
      workspaceFolders: undefined,
      onDidChangeConfiguration: () => thing,
      getConfiguration: () => ({ get: () => undefined }),
    },
  };
  return vscode;
}
