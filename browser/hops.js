/** The path of an event, hop by hop: Discord, gateway, link, this stream. Asked of /api/status. */

import { byId, el, setText } from "./dom.js";

const POLL_MS = 2_000;
/** While something is wrong, so that each attempt is seen. */
const TROUBLED_POLL_MS = 700;
const HIDDEN_POLL_MS = 10_000;
const SAMPLES = 60;
/** Words for the states of /api/status. Their level also tells how they look. */
const DISCORD = {
  starting: ["warn", "starting"],
  connecting: ["warn", "connecting"],
  identifying: ["warn", "signing in"],
  live: ["good", "live"],
  waiting: ["warn", "waiting to reconnect"],
  fatal: ["bad", "refuses the bot"],
  stopped: ["bad", "stopped"],
};
const LINK = {
  connecting: ["warn", "connecting"],
  live: ["good", "connected"],
  waiting: ["warn", "reconnecting"],
  disconnected: ["bad", "switched off"],
  exhausted: ["bad", "gave up"],
  stopped: ["bad", "stopped"],
};
const STREAM = {
  connecting: ["warn", "connecting"],
  live: ["good", "live"],
  retrying: ["warn", "reconnecting"],
  "signed-out": ["bad", "signed out"],
  closed: ["bad", "closed"],
};

export class Hops {
  /** May this person bring the link back? */
  mayManage = false;
  #discord = newHop("Discord");
  #gateway = newHop("Gateway");
  #link = newHop("Link");
  #here = newHop("This stream");
  #status; // of the server; undefined while it does not answer
  #asked = false;
  #askedAt = 0;
  #stream;
  #liveSince = 0;
  #delays = [];
  #timer;

  /** `reconnectLink` is called when someone who may asks for the link back. */
  constructor(reconnectLink) {
    byId("hops").append(...[this.#discord, this.#gateway, this.#link, this.#here].map(({ element }) => element));
    this.#link.action.addEventListener("click", () => reconnectLink().then(() => this.#poll()));
    this.#poll();
    setInterval(() => this.#draw(), 1000);
    document.addEventListener("visibilitychange", () => document.hidden || this.#poll());
  }

  showStream(status) {
    if (status.state !== this.#stream?.state) {
      this.#liveSince = Date.now();
      this.#poll();
    }
    this.#stream = status;
    this.#draw();
  }

  /** Remembers how long an event took from the gateway's socket to here. */
  sample({ event, ts }) {
    if (event === "voice.snapshot" || !(ts > this.#liveSince)) return; // what is replayed was late on purpose
    this.#delays.push(Math.max(0, Date.now() - ts));
    if (this.#delays.length > SAMPLES) this.#delays.shift();
  }

  async #poll() {
    clearTimeout(this.#timer);
    const timer = (this.#timer = setTimeout(() => this.#poll(), HIDDEN_POLL_MS)); // in case there is no answer at all
    const answer = await fetch("/api/status", { cache: "no-store" }).catch(() => undefined);
    this.#status = answer?.ok ? await answer.json().catch(() => undefined) : undefined;
    this.#asked = true;
    this.#askedAt = Date.now();
    this.#draw();
    if (timer !== this.#timer) return;
    clearTimeout(timer);
    const isWell = this.#status?.connected && this.#status.discord?.state === "live";
    this.#timer = setTimeout(() => this.#poll(), document.hidden ? HIDDEN_POLL_MS : isWell ? POLL_MS : TROUBLED_POLL_MS);
  }

  #draw() {
    const { discord, link, connected } = this.#status ?? {};
    show(this.#discord, discordWords(discord));
    show(this.#gateway, this.#gatewayWords(connected, discord));
    show(this.#link, this.#linkWords(link));
    show(this.#here, this.#streamWords(this.#stream, connected));
    byId("stale").hidden = this.#stream?.state !== "retrying" && connected !== false;
    this.#link.action.hidden = !(this.mayManage && ["exhausted", "disconnected"].includes(link?.state));
  }

  #gatewayWords(connected, discord) {
    if (!this.#status) return ["unknown", "unknown"];
    const { lastSeq } = discord?.shards[0] ?? {};
    return connected ? ["good", "up", lastSeq && `${lastSeq.toLocaleString()} events`] : ["bad", "not reached"];
  }

  #linkWords(link) {
    if (!this.#asked) return ["unknown", "asking"];
    if (!link) return ["bad", "server unreachable", "asking again"];
    const { state, attempt, maxAttempts, nextAttemptInMs, lastEventAt } = link;
    if (state === "live") return [...LINK.live, lastEventAt && arrival(lastEventAt)];
    if (state === "exhausted") return [...LINK.exhausted, `after ${maxAttempts} attempts`];
    const [level, words] = state === "connecting" && attempt ? LINK.waiting : LINK[state];
    return [level, words, attempts(attempt, maxAttempts, this.#askedAt + (nextAttemptInMs ?? NaN))];
  }

  #streamWords(status, connected) {
    if (!status) return ["unknown", "not connected"];
    const { state, attempt, retryAt, shared, leading } = status;
    if (state !== "live") return [...STREAM[state], attempts(attempt, 0, retryAt)];
    const delay = median(this.#delays);
    const behind = connected && delay !== undefined && `${milliseconds(delay)} behind`;
    return [...STREAM.live, behind, shared && (leading ? "shared by this tab" : "from another tab")];
  }
}

function discordWords(discord) {
  if (!discord) return ["unknown", "unknown"];
  const { latencyMs, resumes } = discord.shards[0] ?? {};
  return [...DISCORD[discord.state], latencyMs != null && `heartbeat ${milliseconds(latencyMs)}`, resumes > 0 && `resumed ${resumes === 1 ? "once" : `${resumes} times`}`];
}

/** Which attempt it is, of how many, and when the next one is due. */
function attempts(attempt, most, next) {
  if (!attempt) return "";
  const left = Math.ceil((next - Date.now()) / 1000);
  return `attempt ${attempt}${most ? ` of ${most}` : ""}${left > 0 ? `, next in ${left}\u00a0s` : ""}`;
}

/** Whole seconds; a busy link says only that it is. */
function arrival(at) {
  const ago = Math.max(0, Math.round((Date.now() - at) / 1000));
  return ago < 5 ? "events arrive now" : `last event ${ago < 120 ? `${ago} s` : `${Math.round(ago / 60)} min`} ago`;
}

function milliseconds(value) {
  return `${value < 1 ? "under 1" : Math.round(value)}\u00a0ms`;
}

function newHop(name) {
  const hop = { state: el("span", { className: "state" }), more: el("span", { className: "more" }), action: el("button", { className: "button", hidden: true }, "Connect") };
  const mark = el("span", { className: "mark" });
  mark.setAttribute("aria-hidden", "true");
  hop.element = el("li", { className: "hop" }, mark, el("span", { className: "hop-name" }, name), el("span", { className: "hop-words" }, hop.state, hop.more), hop.action);
  return hop;
}

function show(hop, [level, state, ...more]) {
  hop.element.dataset.level = level;
  setText(hop.state, state);
  setText(hop.more, more.filter(Boolean).join(" · "));
}

function median(values) {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
}
