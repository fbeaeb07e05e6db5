// Starts `pipectl lsp` and hands it to the editor; everything about the language is in the server.

"use strict";

const { commands, window, workspace } = require("vscode");
const { LanguageClient, TransportKind } = require("vscode-languageclient/node");
const { commandLine } = require("./command");

let client;
let output;

/** Called when the first `.pipe` file is opened. */
async function activate(context) {
  output = window.createOutputChannel("pipectl");
  context.subscriptions.push(output, commands.registerCommand("pipectl.restart", restart));
  context.subscriptions.push(
    workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration("pipectl.command")) {
        restart();
      }
    })
  );
  await start();
}

async function deactivate() {
  await stop();
}

async function start() {
  const folders = (workspace.workspaceFolders ?? []).map((folder) => folder.uri.fsPath);
  const { command, args } = commandLine(workspace.getConfiguration("pipectl").get("command"), folders[0]);
  const server = { command, args, transport: TransportKind.stdio, options: { cwd: folders[0] } };
  const options = {
    documentSelector: [
      { scheme: "file", language: "pipe" },
      { scheme: "untitled", language: "pipe" },
    ],
    outputChannel: output,
  };
  client = new LanguageClient("pipectl", "pipectl", server, options);
  try {
    await client.start();
  } catch (error) {
    client = undefined;
    output.appendLine(String(error));
    const answer = await window.showErrorMessage(
      `\`${[command, ...args].join(" ")}\` did not start. Install it with \`pip install "pipectl[lsp]"\`, ` +
        "or set `pipectl.command`.",
      "Open settings"
    );
    if (answer !== undefined) {
      await commands.executeCommand("workbench.action.openSettings", "pipectl.command");
    }
  }
}

async function stop() {
  const running = client;
  client = undefined;
  if (running !== undefined) {
    await running.stop();
  }
}

async function restart() {
  await stop();
  await start();
}

module.exports = { activate, deactivate };
