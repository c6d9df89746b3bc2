import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

import { channelOf, indentJson, summaryOf } from "../describe.js";

const corpus = readFileSync(new URL("../../tests/corpus/dispatch.jsonl", import.meta.url), "utf8")
  .trim()
  .split("\n")
  .map((line) => JSON.parse(line));

const names = {
  personName: (id) => ({ 5: "Ada" })[id],
  roleName: (id) => ({ 6: "staff" })[id],
  channelName: (id) => (id === "7" ? "#general" : `channel …${id}`),
};

test("every event of the corpus has a line, whatever is in it", () => {
  for (const { t, d } of corpus) {
    assert.equal(typeof summaryOf({ event: t, payload: d }, names), "string", t);
    assert.ok(["string", "undefined"].includes(typeof channelOf({ event: t, payload: d })), t);
  }
});

test("an event without its usual fields has a line too", () => {
  for (const event of ["MESSAGE_CREATE", "VOICE_STATE_UPDATE", "voice.joined", "voice.snapshot", "MESSAGE_REACTION_ADD"])
    for (const payload of [null, undefined, {}, [], "text", 7]) assert.equal(typeof summaryOf({ event, payload }, names), "string");
});

test("a message names whom and what it mentions, and its markup stays text", () => {
  const content = "<@5> and <@!8> of <@&6>, see <#7> <a:wave:99> <img onerror> <t:1:R>";
  const line = summaryOf({ event: "MESSAGE_CREATE", payload: { content, author: { username: "linus" } } }, names);
  assert.equal(line, "\u2068linus\u2069: \u2068@Ada and @someone of @staff, see #general :wave: <img onerror> <t:1:R>\u2069");
});

test("indenting changes white space only", () => {
  const texts = ['{"a":[1.50,900719925474099312345,-0],"b":{},"c":[],"a":null}', '{"text":"{\\"x\\": [1, 2]}, \\\\"}', "[]", '"just text"', "null", '{"deep":[[[{"x":true}]]]}'];
  const bare = (text) => text.replace(/"(?:[^"\\]|\\.)*"|\s+/g, (part) => (part.startsWith('"') ? part : ""));
  for (const text of texts) assert.equal(bare(indentJson(text)), bare(text));
  assert.equal(indentJson('{"a":[1,{}],"b":[]}'), '{\n  "a": [\n    1,\n    {}\n  ],\n  "b": []\n}');
});

test("the module stays under 6 KB gzipped", () => {
  const size = gzipSync(readFileSync(new URL("../guildstream.js", import.meta.url)), { level: 9 }).length;
  assert.ok(size < 6000, `${size} bytes`);
});
