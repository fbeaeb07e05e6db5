// The setting `pipectl.command` -> what is started. Apart from the editor, so that it can be tested without one.

"use strict";

/**
 * @param {unknown} setting words of a command; `${workspaceFolder}` in them is replaced
 * @param {string | undefined} folder the first opened folder
 * @returns {{command: string, args: string[]}}
 */
function commandLine(setting, folder) {
  const given = Array.isArray(setting) ? setting.filter((word) => typeof word === "string" && word !== "") : [];
  const words = given.length > 0 ? given : ["pipectl"];
  const [command, ...args] = words.map((word) => word.replaceAll("${workspaceFolder}", folder ?? "."));
  return { command, args: [...args, "lsp"] };
}

module.exports = { commandLine };
