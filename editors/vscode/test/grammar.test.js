// The TextMate grammar against the lexer of the compiler: the class of every token, line by line.
//
// Expectations are made by scripts/textmate.py: beside each sample here, and for all files of the repository in the file
// that PIPE_TOKENS names, which the Python suite writes.

"use strict";

const assert = require("node:assert");
const fs = require("node:fs");
const path = require("node:path");
const test = require("node:test");
const oniguruma = require("vscode-oniguruma");
const { INITIAL, Registry, parseRawGrammar } = require("vscode-textmate");

const ROOT = path.join(__dirname, "..");
const SAMPLES = path.join(__dirname, "samples");

const CLASSES = [
  ["comment", "comment"],
  ["string", "string"],
  ["constant.numeric", "number"],
  ["keyword.operator.pipe", "operator"],
  ["keyword", "keyword"],
  ["constant.language", "keyword"],
];

async function load() {
  const wasm = fs.readFileSync(require.resolve("vscode-oniguruma/release/onig.wasm"));
  await oniguruma.loadWASM(wasm.buffer.slice(wasm.byteOffset, wasm.byteOffset + wasm.byteLength));
  const file = path.join(ROOT, "syntaxes", "pipe.tmLanguage.json");
  const registry = new Registry({
    onigLib: Promise.resolve({
      createOnigScanner: (patterns) => new oniguruma.OnigScanner(patterns),
      createOnigString: (text) => new oniguruma.OnigString(text),
    }),
    loadGrammar: async () => parseRawGrammar(fs.readFileSync(file, "utf8"), file),
  });
  return registry.loadGrammar("source.pipe");
}

/** What a token of the grammar is: by its outermost scope of a class, so an escape in a string is a string. */
function classOf(scopes) {
  for (const scope of scopes) {
    for (const [prefix, name] of CLASSES) {
      if (scope.startsWith(prefix)) {
        return name;
      }
    }
  }
  return scopes.length > 1 ? "name" : "";
}

/** Where grammar and lexer disagree, as text. */
function differences(grammar, text, expected) {
  const found = [];
  let stack = INITIAL;
  text.split("\n").forEach((line, number) => {
    const result = grammar.tokenizeLine(line, stack);
    stack = result.ruleStack;
    for (const [start, end, wanted] of expected[number]) {
      for (const token of result.tokens) {
        const from = Math.max(start, token.startIndex);
        const to = Math.min(end, token.endIndex);
        if (from >= to) {
          continue;
        }
        const got = classOf(token.scopes);
        const same = got === wanted || (wanted === "word" && (got === "name" || got === "keyword"));
        if (!same) {
          found.push(`${number + 1}:${from + 1} \`${line.slice(from, to)}\` is ${wanted}, coloured as ${got || "nothing"}`);
        }
      }
    }
  });
  return found;
}

test("samples have the classes of the lexer", async () => {
  const grammar = await load();
  const names = fs.readdirSync(SAMPLES).filter((name) => name.endsWith(".pipe"));
  assert.ok(names.length >= 2);
  for (const name of names) {
    const text = fs.readFileSync(path.join(SAMPLES, name), "utf8");
    const expected = JSON.parse(fs.readFileSync(path.join(SAMPLES, name.replace(".pipe", ".json")), "utf8"));
    assert.ok(expected.flat().length > 20);
    assert.deepStrictEqual(differences(grammar, text, expected), [], name);
  }
});

test("files of the repository have the classes of the lexer", { skip: !process.env.PIPE_TOKENS }, async () => {
  const grammar = await load();
  const files = JSON.parse(fs.readFileSync(process.env.PIPE_TOKENS, "utf8"));
  assert.ok(files.length > 10);
  const wrong = files.flatMap(({ name, text, lines }) => differences(grammar, text, lines).map((w) => `${name}:${w}`));
  assert.deepStrictEqual(wrong, []);
});

test("a difference is seen", async () => {
  const grammar = await load();
  assert.deepStrictEqual(differences(grammar, "x = 1", [[[4, 5, "string"]]]), [
    "1:5 `1` is string, coloured as number",
  ]);
  assert.deepStrictEqual(differences(grammar, "x", [[[0, 1, "keyword"]]]).length, 1);
});

test("finer scopes", async () => {
  const grammar = await load();
  const scope = (line, word) => {
    const at = line.indexOf(word);
    const { tokens } = grammar.tokenizeLine(line, INITIAL);
    return tokens.find((t) => t.startIndex <= at && at < t.endIndex).scopes.at(-1);
  };
  assert.strictEqual(scope("## doc", "doc"), "comment.line.documentation.pipe");
  assert.strictEqual(scope("x: f32[*]", "f32"), "support.type.pipe");
  assert.strictEqual(scope("a = encoder(x)", "encoder"), "entity.name.function.pipe");
  assert.strictEqual(scope("a = len(x)", "len"), "support.function.pipe");
  assert.strictEqual(scope('  using onnx("x")', "onnx"), "support.class.backend.pipe");
  assert.strictEqual(scope("  batching { max = 8 }", "batching"), "support.type.property-name.pipe");
  assert.strictEqual(scope('const A = "${B}"', "${B}"), "variable.other.constant.pipe");
});
