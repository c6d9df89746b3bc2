/** The sandbox's control page: shows /sandbox/state once a second and calls the control routes. */

const POLL_MS = 1000;
const VOICE = 2;
const STAGE = 13;
/** Channel types that take messages. https://discord.com/developers/docs/resources/channel#channel-object-channel-types */
const WRITABLE = [0, VOICE, 5, 10, 11, 12, STAGE];

/** What can go wrong, with the values that a person may change: [kind, what it does, {name: [label, default]}]. */
const FAULTS = [
  ["reconnect", "Ask every session to reconnect and resume (op 7)"],
  ["invalid_session", "Refuse every session (op 9); tick to let it resume", { resumable: ["resumable", false] }],
  ["close", "Close every socket", { code: ["close code", 4000] }],
  ["drop", "Cut every connection without a word"],
  ["stall", "Say and hear nothing", { seconds: ["seconds", 60] }],
  ["refuse", "Cut all and refuse new connections", { seconds: ["seconds", 10] }],
  ["heartbeat", "Ask for a heartbeat now (op 1)"],
  ["corrupt", "Send a frame that is no JSON"],
  ["dup", "Repeat dispatches after the next resume", { count: ["dispatches", 3] }],
  ["rest_error", "Fail the next REST calls", { status: ["status", 500], count: ["calls", 3] }],
  ["rest_delay", "Answer the next REST calls late", { seconds: ["seconds", 15], count: ["calls", 1] }],
  ["rate_limit", "Answer REST calls with 429", { retry_after_s: ["seconds", 2], global: ["global", false] }],
];

const byId = (id) => document.getElementById(id);
let state;
let drawn = "";

drawFaults();
byId("person").addEventListener("change", showSeat);
byId("move").addEventListener("submit", submit(() => seat(byId("person").value, byId("seat").value || null)));
byId("post").addEventListener("submit", submit(postMessage));
byId("dispatch").addEventListener("submit", submit(dispatch));
document.querySelector(".switches").addEventListener("click", flip);
poll();

async function poll() {
  try {
    state = await (await fetch("/sandbox/state")).json();
    byId("lost").hidden = true;
    draw();
  } catch {
    byId("lost").hidden = false;
  }
  setTimeout(poll, POLL_MS);
}

// What is shown.

function draw() {
  drawFigures();
  drawLog();
  const now = JSON.stringify(state.guilds);
  if (now === drawn || document.querySelector(".dragged")) return; // what someone points at stays
  drawn = now;
  const guild = state.guilds[0];
  byId("guild").textContent = guild ? `${guild.name}, ${guild.memberCount} members` : "no guild";
  drawRooms(guild);
  drawChoices(guild);
}

function drawFigures() {
  const { sessions, identifies, resumes, heartbeats, rest } = state;
  const connected = sessions.filter((session) => session.connected).length;
  const figures = { "Bots connected": connected, "Waiting to resume": sessions.length - connected, "Last seq": Math.max(0, ...sessions.map(({ seq }) => seq)),
    Identifies: identifies, Resumes: resumes, Heartbeats: heartbeats, "REST calls": rest.requests };
  byId("figures").replaceChildren(...Object.entries(figures).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, String(value)))));
}

function drawRooms(guild) {
  const rooms = channelsOf(guild, [VOICE, STAGE]).map((channel) => newRoom(channel, guild.members.filter((member) => member.voiceChannelId === channel.id)));
  const others = guild?.members.filter((member) => !member.voiceChannelId && !member.bot) ?? [];
  byId("rooms").replaceChildren(...rooms, newRoom({ id: null, name: "Not in voice" }, others));
}

function newRoom({ id, name, private: hidden }, members) {
  const people = el("ul", {}, ...members.map(newPerson));
  const room = el("article", { className: id ? "room" : "room outside" }, el("header", {}, el("h3", { dir: "auto" }, name), el("span", { className: "quiet" }, `${hidden ? "private · " : ""}${members.length}`)), people);
  room.addEventListener("dragover", (event) => event.preventDefault());
  room.addEventListener("drop", (event) => {
    event.preventDefault();
    seat(event.dataTransfer.getData("text/plain"), id);
  });
  return room;
}

function newPerson(member) {
  const image = el("img", { src: member.avatar ?? "", alt: "", width: 24, height: 24, loading: "lazy" });
  image.addEventListener("error", () => image.classList.add("missing"));
  const marks = [member.selfStream && "streaming", member.selfVideo && "camera", (member.selfDeaf || member.deaf) && "deafened", (member.selfMute || member.mute) && "muted"].filter(Boolean);
  const button = el("button", { className: "person", draggable: true }, image, el("span", { className: "name", dir: "auto" }, nameOf(member)), el("span", { className: "quiet" }, marks.join(", ")));
  button.addEventListener("click", () => choose(member.userId));
  button.addEventListener("dragstart", (event) => {
    event.dataTransfer.setData("text/plain", member.userId);
    button.classList.add("dragged");
  });
  button.addEventListener("dragend", () => button.classList.remove("dragged"));
  return el("li", {}, button);
}

function drawChoices(guild) {
  const isFirst = !byId("person").value;
  fill(byId("person"), (guild?.members ?? []).filter(({ bot }) => !bot).map((member) => [member.userId, nameOf(member)]));
  fill(byId("seat"), [["", "no voice channel"], ...channelsOf(guild, [VOICE, STAGE]).map(({ id, name }) => [id, name])]);
  fill(byId("channel"), channelsOf(guild, WRITABLE).map(({ id, name, type }) => [id, type === VOICE || type === STAGE ? name : `#${name}`]));
  if (isFirst) showSeat();
  else drawPerson();
}

/** Begins with where the person sits; later what was chosen stays. */
function showSeat() {
  byId("seat").value = chosen()?.voiceChannelId ?? "";
  drawPerson();
}

function drawPerson() {
  const person = chosen();
  for (const button of document.querySelectorAll("[data-switch]")) {
    button.disabled = !person?.voiceChannelId;
    button.setAttribute("aria-pressed", String(Boolean(person?.[button.dataset.switch])));
  }
}

function drawLog() {
  const { log, ...inForce } = state.faults;
  const lasting = Object.entries(inForce).filter(([, value]) => value).map(([name, value]) => `${name}: ${value}`);
  const past = [...log].reverse().slice(0, 8).map(({ at, fault, connections }) => {
    const { kind, ...values } = fault;
    const told = Object.entries(values).map(([name, value]) => `${name} ${value}`);
    return `${new Date(at).toLocaleTimeString()} ${[kind, ...told].join(", ")} (${connections} connected)`;
  });
  const lines = [...lasting, ...past];
  byId("log").replaceChildren(...(lines.length ? lines : ["Nothing yet."]).map((line) => el("li", {}, line)));
}

function drawFaults() {
  byId("faults").append(
    ...FAULTS.map(([kind, what, values = {}]) => {
      const inputs = Object.entries(values).map(([name, [label, value]]) => {
        const input = el("input", typeof value === "boolean" ? { type: "checkbox", name } : { type: "number", name, value, step: "any", required: true });
        return el("label", {}, input, ` ${label}`);
      });
      const form = el("form", { className: "fault" }, el("button", {}, kind), el("div", {}, el("p", {}, what), ...inputs));
      form.addEventListener("submit", submit(() => call("/sandbox/fault", { kind, ...valuesOf(form) })));
      return form;
    }),
  );
}

// What is done.

function seat(userId, channelId) {
  return act(() => call(`/sandbox/members/${userId}/voice`, { channelId }));
}

function flip({ target }) {
  const name = target.closest("[data-switch]")?.dataset.switch;
  if (name) act(() => call(`/sandbox/members/${byId("person").value}/voice`, { [name]: !chosen()[name] }));
}

async function postMessage() {
  await call(`/sandbox/members/${byId("person").value}/message`, { channelId: byId("channel").value, content: byId("content").value });
  byId("content").value = "";
}

function dispatch() {
  return call("/sandbox/dispatch", byId("event").value);
}

async function call(path, body) {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const answer = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: text });
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(said.message ?? `the sandbox answered ${answer.status}`);
}

async function act(action) {
  try {
    await action();
    say("Done.");
  } catch (error) {
    say(error.message);
  }
}

function submit(action) {
  return (event) => {
    event.preventDefault();
    act(action);
  };
}

function say(words) {
  byId("toast").textContent = words;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => (byId("toast").textContent = ""), 4000);
}

// Small things.

function choose(userId) {
  byId("person").value = userId;
  showSeat();
  byId("person").focus();
}

function chosen() {
  return state?.guilds[0]?.members.find(({ userId }) => userId === byId("person").value);
}

function channelsOf(guild, types) {
  return (guild?.channels ?? []).filter(({ type }) => types.includes(type));
}

function nameOf({ name, username, userId }) {
  return name ?? username ?? userId;
}

function valuesOf(form) {
  return Object.fromEntries([...form.elements].filter(({ name }) => name).map((input) => [input.name, input.type === "checkbox" ? input.checked : Number(input.value)]));
}

function fill(select, options) {
  const { value } = select;
  select.replaceChildren(...options.map(([id, label]) => el("option", { value: id }, label)));
  if (options.some(([id]) => id === value)) select.value = value;
}

function el(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}
