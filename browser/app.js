/** The page: who is signed in, which of its views to show, and what its parts are told. */

import { connect } from "./guildstream.js";
import { Composer } from "./composer.js";
import { channelOf, indentJson } from "./describe.js";
import { avatar, byId, el, setText, takeImagesFrom } from "./dom.js";
import { Feed } from "./feed.js";
import { Hops } from "./hops.js";
import { Rooms } from "./rooms.js";

const VIEWS = ["loading", "signed-out", "not-a-member", "unreachable"];
const ASK_AGAIN_MS = 4_000;
const ANNOUNCE_MS = 4_000;
const MAX_NAMES = 10_000;
/** A longer text makes the browser slow; all of it can still be copied. */
const SHOWN_CHARACTERS = 200_000;

const hops = new Hops(() => post("/api/gateway/connect"));
const textChannels = new Map(); // id → name, as events mention them
const personNames = new Map(); // id → username, as voice shows them
let stream;
let session;
let askAgain;
let announcements = [];

start();
byId("account").addEventListener("click", act);
document.querySelector("main").addEventListener("click", act);
document.addEventListener("visibilitychange", () => !document.hidden && !stream && start());
setInterval(announce, ANNOUNCE_MS);
prepareDetail();

async function start() {
  clearTimeout(askAgain);
  let answer;
  try {
    answer = await fetch("/api/session", { cache: "no-store" });
    if (answer.ok) session = await answer.json();
    else if (answer.status !== 401) throw new Error(`status ${answer.status}`);
  } catch {
    show("unreachable");
    askAgain = setTimeout(start, ASK_AGAIN_MS);
    return;
  }
  if (!answer.ok) return signedOut();
  showAccount(session.user);
  hops.mayManage = session.guilds.some((guild) => guild.manager);
  if (session.guilds.length === 0) return notAMember();
  show("ready");
  if (stream) stream.reconnect();
  else open();
}

function open() {
  const debug = new URLSearchParams(location.search).has("debug");
  stream = connect({ url: "/api/stream", debug });
  const feed = new Feed(channelName, (id) => personNames.get(id), showDetail);
  const composer = new Composer((command, payload) => stream.send(command, payload));
  new Rooms(stream.voice);
  stream.on("status", onStatus);
  stream.on("*", (event) => {
    hops.sample(event.event === "voice.snapshot" ? undefined : event.ts);
    learnChannel(event);
    learnPeople(event);
    feed.add(event);
    note(event);
  });
  stream.on("resync", () => note({ event: "resync" }));
  stream.voice.subscribe(() => composer.offer(writableChannels()));
  setInterval(() => composer.offer(writableChannels()), 2000); // text channels become known one by one
  onStatus(stream.status);
}

function onStatus(status) {
  hops.showStream(status);
  if (status.state === "signed-out") return signedOut();
  if (status.httpStatus === 403) return notAMember();
  show("ready");
  const stale = byId("stale");
  stale.hidden = status.state !== "retrying";
  setText(stale, "The connection is interrupted. What you see is from before; it catches up by itself.");
}

function signedOut() {
  if (session) {
    setText(byId("signed-out-title"), "Your session has ended");
    setText(byId("signed-out-text"), "Sign in again to go on. What you may see is asked of Discord each time.");
  }
  session = undefined;
  byId("account").hidden = true;
  show("signed-out");
}

function notAMember() {
  setText(byId("stranger"), session?.user.globalName ?? session?.user.username ?? "someone");
  show("not-a-member");
}

function show(view) {
  if (document.body.dataset.view === view) return;
  document.body.dataset.view = view;
  byId("ready").hidden = view !== "ready";
  for (const name of VIEWS) byId(`panel-${name}`).hidden = name !== view;
  setText(byId("announcer"), view === "ready" ? "" : (byId(`panel-${view}`).querySelector("h2")?.textContent ?? ""));
}

function showAccount({ id, username, globalName, avatar: address }) {
  const name = globalName ?? username;
  takeImagesFrom(address);
  const picture = avatar({ userId: id, username: name, avatar: address });
  const leave = el("button", { className: "button" }, "Sign out");
  leave.dataset.action = "sign-out";
  byId("account").replaceChildren(picture, el("span", { className: "name", dir: "auto" }, name), leave);
  byId("account").hidden = false;
}

async function act({ target }) {
  const action = target.closest("[data-action]")?.dataset.action;
  if (action === "retry") {
    // Memberships are read at sign-in.
    if (document.body.dataset.view === "not-a-member") location.assign("/auth/login?next=/");
    else start();
  }
  if (action !== "sign-out") return;
  await post("/auth/logout");
  location.reload();
}

function post(path) {
  return fetch(path, { method: "POST", headers: { "Content-Type": "application/json", "X-Guildstream": "1" }, body: "{}" }).catch(() => {});
}

// Names of channels. Snapshots name the voice channels; text channels are met in events.

function learnChannel(event) {
  const { payload, event: type } = event;
  const id = channelOf(event);
  if (!id || /^(voice|room|VOICE)/.test(type)) return;
  if (type === "CHANNEL_DELETE" || type === "THREAD_DELETE") return textChannels.delete(id);
  const name = /^(CHANNEL|THREAD)_(CREATE|UPDATE)$/.test(type) && typeof payload.name === "string" ? `#${payload.name}` : undefined;
  if (name || !textChannels.has(id)) textChannels.set(id, name);
}

/** Some events name people by their id alone. */
function learnPeople({ payload }) {
  const members = payload?.channels?.flatMap?.(({ members }) => members ?? []) ?? [];
  for (const { userId, username } of [payload ?? {}, ...members]) {
    if (!userId || !username) continue;
    if (personNames.size >= MAX_NAMES) personNames.clear();
    personNames.set(userId, username);
  }
}

function channelName(id) {
  const voice = stream?.voice.getSnapshot().find((channel) => channel.channelId === id);
  return voice?.name ?? textChannels.get(id) ?? `channel …${id.slice(-4)}`;
}

function writableChannels() {
  const voice = stream.voice.getSnapshot().map(({ channelId }) => channelId);
  return [...new Set([...textChannels.keys(), ...voice])].map((id) => [id, channelName(id)]);
}

// A few words now and then for those who listen to the page.

function note({ event, payload }) {
  const where = payload?.channelId ? channelName(payload.channelId) : "";
  const name = payload?.username ?? "someone";
  if (event === "voice.joined") announcements.push(`${name} joined ${where}`);
  if (event === "voice.moved") announcements.push(`${name} moved to ${where}`);
  if (event === "resync") announcements.push("some events were missed; the voice channels are up to date again");
}

function announce() {
  if (!announcements.length) return;
  const more = announcements.length - 3;
  setText(byId("announcer"), announcements.slice(0, 3).join(", ") + (more > 0 ? `, and ${more} more` : ""));
  announcements = [];
}

// One event in full.

function prepareDetail() {
  const dialog = byId("detail");
  byId("detail-close").addEventListener("click", () => dialog.close());
  byId("detail-indent").addEventListener("change", drawDetail);
  byId("detail-copy").addEventListener("click", async () => {
    const done = await navigator.clipboard?.writeText(dialog.raw).then(() => true, () => false);
    setText(byId("detail-copy"), done ? "Copied" : "Could not copy");
  });
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
}

function showDetail(event, at) {
  const dialog = byId("detail");
  dialog.raw = event.raw;
  setText(byId("detail-title"), event.event);
  const delay = Number.isFinite(event.ts) ? `${Math.max(0, at - event.ts)} ms after the gateway had it` : "";
  setText(byId("detail-about"), [`id ${event.id || "none"}`, `${event.raw.length.toLocaleString()} characters`, delay].filter(Boolean).join(" · "));
  setText(byId("detail-copy"), "Copy as sent");
  drawDetail();
  dialog.showModal();
}

function drawDetail() {
  const { raw } = byId("detail");
  const shown = raw.length > SHOWN_CHARACTERS ? `${raw.slice(0, SHOWN_CHARACTERS)}\n… ${(raw.length - SHOWN_CHARACTERS).toLocaleString()} more characters` : raw;
  setText(byId("detail-text"), byId("detail-indent").checked && raw.length <= SHOWN_CHARACTERS ? indentJson(raw) : shown);
}
