/** The page: who is signed in, which of its views to show, and what its parts are told. */

import { Announcer } from "./announcer.js";
import { Composer } from "./composer.js";
import { Detail } from "./detail.js";
import { avatar, byId, el, setText, takeImagesFrom } from "./dom.js";
import { Feed } from "./feed.js";
import { Guilds } from "./guilds.js";
import { connect } from "./guildstream.js";
import { Hops } from "./hops.js";
import { Rooms } from "./rooms.js";

const PANELS = ["loading", "signed-out", "not-a-member", "unreachable"];
const ASK_AGAIN_MS = 4_000;

const hops = new Hops(() => post("/api/gateway/connect"));
const announcer = new Announcer();
let stream;
let session;
let askAgain;
let isLost = false;

start();
document.body.addEventListener("click", act);
document.addEventListener("visibilitychange", () => document.hidden || start());

/** Asks who is signed in, and goes on from there. */
async function start() {
  clearTimeout(askAgain);
  let answer;
  let person;
  try {
    answer = await fetch("/api/session", { cache: "no-store" });
    if (answer.ok) person = await answer.json();
    else if (answer.status !== 401) throw new Error(`status ${answer.status}`);
  } catch {
    if (!stream) show("unreachable"); // an open stream tells of its own trouble
    askAgain = setTimeout(start, ASK_AGAIN_MS);
    return;
  }
  if (!person) return signedOut();
  // Another tab has signed in as someone else, who may see other channels.
  if (session && session.user.id !== person.user.id) return location.reload();
  session = person;
  showAccount(person.user);
  hops.mayManage = person.guilds.some((guild) => guild.manager);
  if (person.guilds.length === 0) return notAMember();
  show("ready");
  if (!stream) open();
  else if (stream.status.httpStatus) stream.reconnect();
}

function open() {
  const debug = new URLSearchParams(location.search).has("debug");
  stream = connect({ url: "/api/stream", debug });
  const guilds = new Guilds(session.user.id);
  const detail = new Detail();
  const feed = new Feed(guilds, (event, at) => detail.show(event, at));
  const composer = new Composer((...command) => stream.send(...command));
  const rooms = new Rooms(stream.voice, guilds, session.user.id);
  guilds.onChange = () => {
    feed.refreshFilters();
    composer.offer(guilds.writable());
    rooms.refresh();
  };
  stream.on("status", (status) => onStatus(status, guilds));
  stream.on("*", (event) => {
    hops.sample(event);
    guilds.hear(event);
    feed.add(event);
    announcer.hear(event, guilds);
  });
  stream.on("resync", () => announcer.say("Some events were missed; the voice channels are up to date again."));
  guilds.load();
  onStatus(stream.status, guilds);
}

function onStatus(status, guilds) {
  const wasLost = isLost;
  isLost = status.state === "retrying";
  hops.showStream(status);
  if (status.state === "signed-out") return signedOut();
  if (status.httpStatus === 403) return notAMember();
  show("ready");
  if (isLost && !wasLost) announcer.say("The connection is interrupted.");
  if (status.state !== "live" || !wasLost) return;
  announcer.say("Connected again.");
  guilds.load();
  start();
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
  const hadFocus = byId("main").contains(document.activeElement);
  document.body.dataset.view = view;
  byId("ready").hidden = view !== "ready";
  for (const name of PANELS) byId(`panel-${name}`).hidden = name !== view;
  const title = view === "ready" ? null : byId(`panel-${view}`).querySelector("h2");
  if (title && hadFocus) title.focus(); // what had it is hidden now
  else if (title) announcer.say(title.textContent);
}

function showAccount({ id, username, globalName, avatar: address }) {
  takeImagesFrom(address);
  const name = globalName ?? username;
  const leave = el("button", { className: "button" }, "Sign out");
  leave.dataset.action = "sign-out";
  byId("account").replaceChildren(avatar({ userId: id, displayName: name, avatar: address }), el("span", { className: "name", dir: "auto" }, name), leave);
  byId("account").hidden = false;
}

async function act({ target }) {
  const action = target.closest("[data-action]")?.dataset.action;
  if (action === "retry") start();
  if (action === "sign-in") location.assign("/auth/login?next=/"); // memberships are read at sign-in
  if (action !== "sign-out") return;
  await post("/auth/logout");
  location.reload();
}

function post(path) {
  return fetch(path, { method: "POST", headers: { "Content-Type": "application/json", "X-Guildstream": "1" }, body: "{}" }).catch(() => {});
}
