import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";

import { CommandError, connect } from "../guildstream.js";
import { install, settle, sources } from "./fakes.js";

const LOUNGE = { channelId: "20", name: "Lounge", parentId: null, userLimit: 0 };
const ADA = { userId: "1", username: "ada", avatar: null, selfMute: false };
const snapshot = (...members) => ({ guildId: "9", channels: [{ ...LOUNGE, members }] });
const joined = (userId, channelId = "20") => ({ guildId: "9", channelId, userId, username: `user ${userId}`, avatar: null });

let open = [];
const start = (options) => {
  const stream = connect(options);
  open.push(stream);
  return stream;
};
const seated = (stream) => Object.fromEntries(stream.voice.getSnapshot().map(({ channelId, members }) => [channelId, members.map(({ userId }) => userId)]));
const last = () => sources.at(-1);
const query = (source, name) => source.url.searchParams.get(name);

beforeEach(() => {
  mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"] });
  mock.method(Math, "random", () => 1);
});

afterEach(() => {
  open.forEach((stream) => stream.close());
  open = [];
  mock.timers.reset();
  mock.restoreAll();
});

test("a fresh stream is live with its ack, and fills the roster from the snapshot", async () => {
  install();
  const states = [];
  const stream = start({ onStatus: ({ state }) => states.push(state) });
  await settle();
  last().open().ack().event("voice.snapshot", snapshot(ADA), "e-5");
  assert.deepEqual(states, ["connecting", "live"]);
  assert.deepEqual(seated(stream), { 20: ["1"] });
  assert.equal(stream.status.lastEventId, "e-5");
});

test("events reach listeners by name, by prefix and by star, and a listener that throws harms no other", async () => {
  install();
  const stream = start();
  await settle();
  const heard = [];
  const uncaught = mock.method(globalThis, "queueMicrotask", () => {});
  stream.on("voice.joined", () => { throw new Error("mine"); });
  for (const name of ["voice.joined", "voice.*", "*", "voice.left"]) stream.on(name, ({ event }) => heard.push([name, event]));
  last().open().ack().event("voice.joined", joined("2"), "e-6");
  assert.deepEqual(heard, [["voice.joined", "voice.joined"], ["voice.*", "voice.joined"], ["*", "voice.joined"]]);
  assert.equal(uncaught.mock.callCount(), 1);
});

test("raw keeps what JSON.parse would lose", async () => {
  install();
  const stream = start();
  await settle();
  let raw;
  stream.on("A_NEW_EVENT_2031", (event) => (raw = event.raw));
  const payload = '{"big":9007199254740993,"again":1,"again":1.50,"ts":"a\\",\\"ts\\":1"}';
  last().open().ack().text(`{"v":1,"type":"event","event":"A_NEW_EVENT_2031","payload":${payload},"ts":17}`, "e-1");
  assert.equal(raw, payload);
});

test("the roster follows joins, moves, leaves, voice states and rooms", async () => {
  install();
  const stream = start();
  await settle();
  last().open().ack().event("voice.snapshot", snapshot(ADA), "e-1");
  const steps = [
    ["voice.joined", joined("2"), { 20: ["1", "2"] }],
    ["room.created", { guildId: "9", channelId: "21", name: "New", parentId: null, userLimit: 2 }, { 20: ["1", "2"], 21: [] }],
    ["voice.moved", { ...joined("1", "21"), previousChannelId: "20" }, { 20: ["2"], 21: ["1"] }],
    ["VOICE_STATE_UPDATE", { guild_id: "9", channel_id: "21", user_id: "1", self_mute: true }, { 20: ["2"], 21: ["1"] }],
    ["voice.left", { guildId: "9", channelId: null, userId: "2", previousChannelId: "20" }, { 20: [], 21: ["1"] }],
    ["room.deleted", { guildId: "9", channelId: "20" }, { 21: ["1"] }],
    ["CHANNEL_UPDATE", { guild_id: "9", id: "21", name: "Renamed", parent_id: null, user_limit: 3 }, { 21: ["1"] }],
    ["GUILD_DELETE", { id: "9", unavailable: true }, { 21: ["1"] }],
  ];
  steps.forEach(([event, payload, expected], at) => {
    last().event(event, payload, `e-${at + 2}`);
    assert.deepEqual(seated(stream), expected, event);
  });
  const [room] = stream.voice.getSnapshot();
  assert.equal(room.name, "Renamed");
  assert.deepEqual([room.members[0].username, room.members[0].selfMute], ["user 1", true]);
});

test("what did not change in the roster stays the same object", async () => {
  install();
  const stream = start();
  await settle();
  last().open().ack().event("voice.snapshot", { guildId: "9", channels: [{ ...LOUNGE, members: [ADA] }, { ...LOUNGE, channelId: "21", members: [] }] }, "e-1");
  const [before] = stream.voice.getSnapshot();
  assert.equal(stream.voice.getSnapshot(), stream.voice.getSnapshot());
  last().event("voice.joined", joined("2", "21"), "e-2");
  assert.equal(stream.voice.getSnapshot()[0], before);
});

test("a repeated event is not seen twice, and one of another epoch always is", async () => {
  install();
  const seen = [];
  start({ onEvent: ({ id }) => seen.push(id) });
  await settle();
  last().open().ack();
  for (const id of ["e-9", "e-10", "e-9", "e-10", "f-1", "f-2"]) last().event("TYPING_START", {}, id);
  assert.deepEqual(seen, ["e-9", "e-10", "f-1", "f-2"]);
});

test("a connection that cannot be made is tried again with growing delays, after the last id", async () => {
  install();
  const stream = start();
  await settle();
  last().open().ack().event("TYPING_START", {}, "e-3");
  last().break();
  assert.equal(stream.status.state, "retrying");
  assert.equal(sources.length, 1, "the browser redials first");
  last().break();
  const delays = [];
  for (let round = 0; round < 6; round++) {
    delays.push(stream.status.retryAt - Date.now());
    mock.timers.tick(delays.at(-1));
    assert.equal(query(last(), "lastEventId"), "e-3");
    last().break();
  }
  assert.deepEqual(delays, [2000, 4000, 8000, 16000, 30000, 30000]);
  mock.timers.tick(30000);
  last().open().ack("e-3");
  assert.deepEqual([stream.status.state, stream.status.attempt], ["live", 0]);
});

test("45 s of silence bring a new connection, a ping every 15 s does not", async () => {
  install();
  start();
  await settle();
  last().open().ack();
  for (let beat = 0; beat < 8; beat++) {
    mock.timers.tick(15_000);
    last().ping("e-7");
  }
  assert.equal(sources.length, 1);
  mock.timers.tick(50_000);
  assert.equal(sources.length, 2);
  assert.equal(query(last(), "lastEventId"), "e-7");
});

test("the answer that ends a stream decides its state", async () => {
  const cases = [
    [401, "signed-out"],
    [403, "closed"],
    [400, "closed"],
    [500, "retrying"],
  ];
  for (const [status, state] of cases) {
    install({ answer: () => ({ status, body: { error: { message: "because" } } }) });
    const stream = start();
    await settle();
    last().open().ack().event("voice.snapshot", snapshot(ADA), "e-1");
    last().refuse();
    await settle();
    assert.equal(stream.status.state, state, `status ${status}`);
    const ended = state !== "retrying";
    assert.deepEqual([stream.status.httpStatus, stream.status.message], ended ? [status, "because"] : [null, null]);
    assert.deepEqual(seated(stream), ended ? {} : { 20: ["1"] }, "what one user saw is not left for the next");
    stream.close();
  }
});

test("reconnect opens a fresh stream after a sign-in", async () => {
  install({ answer: () => ({ status: 401 }) });
  const stream = start();
  await settle();
  last().open().ack().event("TYPING_START", {}, "e-1");
  last().refuse();
  await settle();
  stream.reconnect();
  assert.equal(query(last(), "lastEventId"), null);
  last().open().ack();
  assert.equal(stream.status.state, "live");
});

test("RESYNC is announced and the snapshot after it is the truth", async () => {
  install();
  const notices = [];
  const stream = start({ onResync: ({ code }) => notices.push(code) });
  await settle();
  last().open().ack().event("voice.snapshot", snapshot(ADA), "e-1");
  last().frame({ v: 1, type: "error", code: "RESYNC", message: "gap", ts: 1 }, "e-1").event("voice.snapshot", snapshot(), "f-1");
  assert.deepEqual(notices, ["RESYNC"]);
  assert.deepEqual(seated(stream), { 20: [] });
});

test("a snapshot in the middle of a stream changes the rooms, in every tab, and moves nobody", async () => {
  install();
  const heard = [];
  const hear = ({ event }) => heard.push(event);
  const tabs = [start({ onEvent: hear })];
  await settle();
  const main = last().open().ack().event("voice.snapshot", snapshot(ADA), "e-1");
  tabs.push(start({ onEvent: hear }));
  await settle();
  last().open().ack().event("voice.snapshot", snapshot(ADA), "e-1");
  heard.length = 0;
  const staff = { ...LOUNGE, channelId: "21", name: "Staff", members: [{ ...ADA, userId: "2" }] };
  main.event("voice.snapshot", { guildId: "9", channels: [{ ...LOUNGE, members: [ADA] }, staff] }, "e-4");
  for (const tab of tabs) assert.deepEqual(seated(tab), { 20: ["1"], 21: ["2"] }, "a room appears with who is in it");
  main.event("voice.snapshot", { guildId: "9", channels: [staff] }, "e-4"); // more than one may come after the same event
  for (const tab of tabs) assert.deepEqual(seated(tab), { 21: ["2"] }, "a room vanishes");
  assert.deepEqual(new Set(heard), new Set(["voice.snapshot"]), "nobody joined, left or moved");
  main.event("voice.moved", { ...joined("1", "21"), previousChannelId: "20" }, "e-5");
  for (const tab of tabs) assert.deepEqual(seated(tab), { 21: ["2", "1"] }, "deltas go on from there");
  assert.deepEqual(tabs.map(({ status }) => status.lastEventId), ["e-5", "e-5"]);
});

test("a frame that is no JSON is an error of its own and ends nothing", async () => {
  install();
  const stream = start();
  await settle();
  const errors = [];
  stream.on("error", ({ message }) => errors.push(message));
  stream.on("*", () => errors.push("an event"));
  last().open().ack().text("{oops", "e-1").event("TYPING_START", {}, "e-2");
  assert.deepEqual(errors, ["not a frame: {oops", "an event"]);
});

test("two tabs share one connection, and the second gets its roster and every event", async () => {
  install();
  const first = start();
  await settle();
  last().open().ack().event("voice.snapshot", snapshot(ADA), "e-1").event("TYPING_START", {}, "e-5");
  const [main] = sources;
  const seen = [];
  const second = start({ onEvent: ({ event, id }) => seen.push([event, id]) });
  await settle();
  assert.deepEqual([first.status.leading, second.status.leading, second.status.state], [true, false, "live"]);
  const asked = last();
  assert.ok(query(asked, "events").includes("voice.*"));
  main.event("voice.left", { guildId: "9", channelId: null, userId: "1", previousChannelId: "20" }, "e-6"); // while the snapshot is on its way
  asked.open().ack().event("voice.snapshot", snapshot(), "e-2"); // a snapshot may be older than what the tabs have seen
  asked.event("voice.joined", joined("1"), "e-3").event("voice.joined", joined("2"), "e-5");
  main.event("voice.joined", joined("3"), "e-7");
  assert.deepEqual(seated(second), { 20: ["2", "3"] });
  assert.deepEqual(seen, [["voice.left", "e-6"], ["voice.snapshot", "e-2"], ["voice.joined", "e-7"]]);
  assert.equal(asked.readyState, 2, "the stream for the snapshot is left");
  assert.equal(sources.filter(({ readyState }) => readyState < 2).length, 1);
});

test("when the leading tab closes, the next resumes after the last id it saw", async () => {
  install();
  const first = start();
  await settle();
  last().open().ack().event("voice.snapshot", snapshot(), "e-1");
  const [main] = sources;
  const second = start();
  await settle();
  last().event("voice.snapshot", snapshot(), "e-1");
  main.event("TYPING_START", {}, "e-2").ping("e-6");
  first.close();
  await settle();
  assert.equal(second.status.leading, true);
  assert.equal(query(last(), "lastEventId"), "e-6");
  last().open().ack("e-6");
  assert.equal(second.status.state, "live");
  assert.equal(sources.filter(({ readyState }) => readyState < 2).length, 1);
});

test("the leader asks for what all tabs want together, and each tab hears only what it wants", async () => {
  install();
  const heard = { first: [], second: [] };
  start({ events: ["MESSAGE_CREATE"], channel: "20", roster: false, onEvent: ({ event }) => heard.first.push(event) });
  await settle();
  last().open().ack();
  assert.deepEqual([query(last(), "events"), query(last(), "channel")], ["MESSAGE_CREATE", "20"]);
  start({ events: ["TYPING_START"], channel: ["21"], roster: false, onEvent: ({ event }) => heard.second.push(event) });
  await settle();
  assert.deepEqual([query(last(), "events"), query(last(), "channel")], ["MESSAGE_CREATE,TYPING_START", "20,21"]);
  last().open().ack();
  last().event("MESSAGE_CREATE", { channel_id: "20" }, "e-1").event("MESSAGE_CREATE", { channel_id: "21" }, "e-2").event("TYPING_START", { channel_id: "21" }, "e-3");
  assert.deepEqual(heard, { first: ["MESSAGE_CREATE"], second: ["TYPING_START"] });
});

test("beside a tab that wants more, a tab still sees no other channel, no other guild and nothing of the whole guild", async () => {
  install();
  const seen = [];
  const rooms = [{ ...LOUNGE, members: [ADA] }, { ...LOUNGE, channelId: "21", members: [{ ...ADA, userId: "2" }] }];
  const narrow = start({ guild: "9", channel: "20", onEvent: ({ id, event, payload }) => seen.push([id, event, payload.channels?.length]) });
  await settle();
  start();
  await settle();
  const main = last().open();
  main.ack().event("voice.snapshot", { guildId: "9", channels: rooms }, "e-1").event("voice.snapshot", { guildId: "8", channels: rooms }, "e-1");
  assert.deepEqual([seated(narrow), narrow.voice.getSnapshot().length, narrow.voice.getSnapshot()[0].guildId], [{ 20: ["1"] }, 1, "9"]);
  main
    .event("GUILD_MEMBER_ADD", { guild_id: "9", user: {} }, "e-2")
    .event("MESSAGE_CREATE", { guild_id: "9", channel_id: "21" }, "e-3")
    .event("VOICE_STATE_UPDATE", { guild_id: "9", channel_id: null, user_id: "2" }, "e-4")
    .event("VOICE_STATE_UPDATE", { guild_id: "9", channel_id: null, user_id: "1" }, "e-5")
    .event("voice.joined", { ...joined("3"), guildId: "8" }, "e-6")
    .event("MESSAGE_CREATE", { guild_id: "9", channel_id: "20" }, "e-7");
  assert.deepEqual(seen, [["e-1", "voice.snapshot", 1], ["e-5", "VOICE_STATE_UPDATE", undefined], ["e-7", "MESSAGE_CREATE", undefined]]);
  assert.deepEqual(seated(narrow), { 20: [] });
});

test("a tab alone takes what the server chose for it: a thread's message belongs to its channel", async () => {
  install();
  const seen = [];
  start({ channel: "20", events: ["MESSAGE_CREATE"], onEvent: ({ event }) => seen.push(event) });
  await settle();
  last().open().ack().event("MESSAGE_CREATE", { channel_id: "77" }, "e-1").event("CHANNEL_UPDATE", { id: "20" }, "e-2");
  assert.deepEqual(seen, ["MESSAGE_CREATE"]);
});

test("people are shown by the name Discord shows: nickname, then global name, then username", async () => {
  install();
  const stream = start();
  await settle();
  const person = () => stream.voice.getSnapshot()[0].members[0].displayName;
  last().open().ack().event("voice.snapshot", snapshot({ ...ADA, displayName: "Ada L." }), "e-1");
  assert.equal(person(), "Ada L.");
  const state = (member) => ({ guild_id: "9", channel_id: "20", user_id: "1", member });
  last().event("VOICE_STATE_UPDATE", state({ nick: null, user: { username: "ada", global_name: "Ada" } }), "e-2");
  assert.equal(person(), "Ada");
  last().event("VOICE_STATE_UPDATE", state({ nick: "Countess", user: { username: "ada", global_name: "Ada" } }), "e-3");
  assert.equal(person(), "Countess");
  last().event("voice.joined", { ...joined("1"), username: "ada" }, "e-4");
  assert.equal(person(), "Countess", "a gateway that names nobody takes no name away");
});

test("a leader that says nothing for 45 s loses the lock", async () => {
  install();
  const frozen = start();
  await settle();
  last().open().ack();
  const second = start();
  await settle();
  mock.method(BroadcastChannel.prototype, "postMessage", () => {}); // neither is heard any more
  mock.timers.tick(50_000);
  await settle();
  assert.deepEqual([frozen.status.leading, second.status.leading], [false, true]);
});

test("a tab that signs in wakes the leader that was signed out", async () => {
  install({ answer: () => ({ status: 401 }) });
  const first = start();
  await settle();
  last().open().ack();
  last().refuse();
  await settle();
  assert.equal(first.status.state, "signed-out");
  start();
  await settle();
  last().open().ack();
  assert.equal(first.status.state, "live");
});

test("without Web Locks each tab has its own connection", async () => {
  install({ shared: false });
  const streams = [start(), start()];
  await settle();
  assert.equal(sources.length, 2);
  assert.deepEqual(streams.map(({ status }) => [status.leading, status.shared]), [[true, false], [true, false]]);
});

test("a command is posted as the server asks, and a refusal says why and when to try again", async () => {
  const answers = [
    { body: { requestId: "r", data: { id: "77" } } },
    { status: 429, headers: { "Retry-After": "2" }, body: { error: { code: "RATE_LIMITED", message: "slower", requestId: "r" } } },
    { status: 502, body: null },
  ];
  const calls = install({ answer: (call) => answers[call - 1] });
  const stream = start();
  assert.deepEqual(await stream.send("send_message", { channelId: "20", content: "hi" }, { requestId: "r" }), { id: "77" });
  assert.equal(calls[0].url, "http://page.test/api/commands");
  assert.deepEqual(calls[0].headers, { "Content-Type": "application/json", "X-Guildstream": "1" });
  assert.deepEqual(JSON.parse(calls[0].body), { command: "send_message", payload: { channelId: "20", content: "hi" }, requestId: "r" });
  const refusal = await stream.send("send_message", {}).catch((error) => error);
  assert.ok(refusal instanceof CommandError);
  assert.deepEqual([refusal.status, refusal.code, refusal.message, refusal.retryAfterMs], [429, "RATE_LIMITED", "slower", 2000]);
  await assert.rejects(stream.send("send_message", {}), { status: 502, code: "UNKNOWN", message: "the server answered 502" });
});

test("with debug the console says what the system before said", async () => {
  install();
  const lines = [];
  mock.method(console, "log", (line) => lines.push(line));
  start({ debug: true });
  await settle();
  last().open().ack().event("voice.joined", joined("2"), "e-1");
  assert.deepEqual(lines, [
    "[VoiceChannelEvents] Connecting to SSE: /api/stream",
    "[VoiceChannelEvents] SSE connected",
    "[VoiceChannelEvents] Received voice.joined event: user 2",
  ]);
});
