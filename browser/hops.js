/** The path of an event, hop by hop: Discord, gateway, link, this stream. Asked of /api/status every two seconds. */

import { byId, el, setText } from "./dom.js";

const POLL_MS = 2_000;
const SAMPLES = 60;
const NAMES = ["Discord", "Gateway", "Link", "This stream"];

export class Hops {
  #elements = NAMES.map(newHop);
  #status;
  #failed = false;
  #askedAt = 0;
  #stream;
  #since = 0;
  #delays = [];
  #reconnectLink;

  /** `reconnectLink` is called when someone who may asks for the link back. */
  constructor(reconnectLink) {
    this.#reconnectLink = reconnectLink;
    byId("hops").append(...this.#elements.map(({ element }) => element));
    this.#elements[2].action.addEventListener("click", () => this.#reconnectLink?.());
    this.#poll();
    setInterval(() => this.#draw(), 1000);
    document.addEventListener("visibilitychange", () => document.hidden || this.#poll());
  }

  /** May this person bring the link back? */
  mayManage = false;

  showStream(status) {
    if (status.state !== this.#stream?.state) this.#since = Date.now();
    this.#stream = status;
    this.#draw();
  }

  /** Remembers how long an event took from the gateway's socket to here. */
  sample(ts) {
    if (!(ts > this.#since)) return; // what is replayed was late on purpose
    this.#delays.push(Math.max(0, Date.now() - ts));
    if (this.#delays.length > SAMPLES) this.#delays.shift();
  }

  async #poll() {
    clearTimeout(this.#timer);
    try {
      const answer = await fetch("/api/status", { cache: "no-store" });
      this.#status = await answer.json();
      this.#askedAt = Date.now();
      this.#failed = false;
    } catch {
      this.#failed = true;
    }
    this.#draw();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#poll(), document.hidden ? 5 * POLL_MS : POLL_MS);
  }

  #timer;

  #draw() {
    const link = this.#failed ? undefined : this.#status?.link;
    const up = Boolean(!this.#failed && this.#status?.connected);
    const [discord, gateway, connection, stream] = this.#elements;
    show(discord, ...discordWords(this.#failed ? undefined : this.#status?.discord, up));
    show(gateway, ...(up ? ["good", "up", ""] : this.#failed ? ["unknown", "unknown", ""] : ["bad", "not reached", ""]));
    show(connection, ...this.#linkWords(link, up));
    connection.action.hidden = !(this.mayManage && link && /exhausted|disconnected/.test(stateOf(link)));
    show(stream, ...this.#streamWords());
  }

  #linkWords(link, up) {
    if (this.#failed) return ["bad", "server unreachable", "asking again"];
    if (up) return ["good", "connected", lastEvent(link)];
    if (!link) return ["unknown", "asking", ""];
    const state = stateOf(link);
    if (state === "exhausted") return ["bad", "gave up", `after ${link.attempt ?? link.maxAttempts} attempts`];
    if (state === "disconnected") return ["bad", "switched off", ""];
    const left = link.nextAttemptInMs == null ? null : Math.ceil(Math.max(0, link.nextAttemptInMs - (Date.now() - this.#askedAt)) / 1000);
    const attempt = link.maxAttempts ? `attempt ${link.attempt} of ${link.maxAttempts}` : `attempt ${link.attempt}`;
    return ["warn", "reconnecting", left ? `${attempt}, next in ${left} s` : attempt];
  }

  #streamWords() {
    const status = this.#stream;
    if (!status) return ["unknown", "not connected", ""];
    const delay = median(this.#delays);
    const shared = status.shared ? (status.leading ? "shared by this tab" : "shared from another tab") : "";
    if (status.state === "live") return ["good", "live", delay === undefined ? shared : `${delay < 1 ? "under 1" : Math.round(delay)} ms behind Discord${shared ? ` · ${shared}` : ""}`];
    if (status.state === "retrying") {
      const left = status.retryAt ? Math.ceil(Math.max(0, status.retryAt - Date.now()) / 1000) : 0;
      return ["warn", "reconnecting", `attempt ${status.attempt}${left ? `, next in ${left} s` : ""}`];
    }
    if (status.state === "connecting") return ["warn", "connecting", ""];
    return ["bad", status.state === "signed-out" ? "signed out" : "closed", ""];
  }
}

/** Whole seconds; a busy link says only that it is. */
function lastEvent(link) {
  const at = typeof link?.lastEventAt === "number" ? link.lastEventAt : Date.parse(link?.lastEventAt);
  if (Number.isNaN(at)) return "";
  const ago = Math.max(0, Math.round((Date.now() - at) / 1000));
  return ago < 5 ? "events arrive now" : `last event ${ago < 120 ? `${ago} s` : `${Math.round(ago / 60)} min`} ago`;
}

function discordWords(discord, up) {
  if (!discord) return up ? ["good", "events arrive", ""] : ["unknown", "unknown", "behind the gateway"];
  const state = stateOf(discord);
  const latency = discord.shards?.[0]?.latencyMs;
  return [/live|ready|connected/i.test(state) ? "good" : /fatal/i.test(state) ? "bad" : "warn", state, latency == null ? "" : `heartbeat ${Math.round(latency)} ms`];
}

/** A state is a word, or an object that names it. */
function stateOf({ state }) {
  return String(state?.state ?? state ?? "unknown").toLowerCase();
}

function newHop(name) {
  const hop = { state: el("span", { className: "state" }), more: el("span", { className: "more" }), action: el("button", { className: "button small", hidden: true }, "Connect") };
  const mark = el("span", { className: "mark" });
  mark.setAttribute("aria-hidden", "true");
  hop.element = el("li", { className: "hop" }, mark, el("span", { className: "hop-name" }, name), hop.state, hop.more, hop.action);
  hop.element.dataset.level = "unknown";
  return hop;
}

function show(hop, level, state, more) {
  if (hop.element.dataset.level !== level) hop.element.dataset.level = level;
  setText(hop.state, state);
  setText(hop.more, more);
}

function median(values) {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
}
