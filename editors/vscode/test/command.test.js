// What is started for a setting.

"use strict";

const assert = require("node:assert");
const test = require("node:test");
const { commandLine } = require("../src/command");

test("pipectl by default", () => {
  assert.deepStrictEqual(commandLine(undefined, "/a"), { command: "pipectl", args: ["lsp"] });
  assert.deepStrictEqual(commandLine([], "/a"), { command: "pipectl", args: ["lsp"] });
  assert.deepStrictEqual(commandLine("pipectl", "/a"), { command: "pipectl", args: ["lsp"] });
});

test("words of a command, with the folder in them", () => {
  const setting = ["${workspaceFolder}/.venv/bin/python", "-m", "pipectl"];
  assert.deepStrictEqual(commandLine(setting, "/a b"), { command: "/a b/.venv/bin/python", args: ["-m", "pipectl", "lsp"] });
  assert.deepStrictEqual(commandLine(["${workspaceFolder}/x"], undefined), { command: "./x", args: ["lsp"] });
});
