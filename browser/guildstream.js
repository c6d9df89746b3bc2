/**
 * Discord guild events in the browser: typed events, a voice roster, one connection for all tabs.
 *
 * Tabs that connect to the same address queue for one Web Lock. Its holder, the leader, has the only EventSource,
 * asks for the union of all tabs' filters and repeats each frame on a BroadcastChannel. When it goes away the next
 * in the queue resumes after the last id it saw. Without Web Locks (plain http beyond localhost) each tab leads itself.
 *
 * What callers need is documented in guildstream.d.ts.
 * https://html.spec.whatwg.org/multipage/server-sent-events.html · https://w3c.github.io/web-locks/
 */

import { VoiceRoster } from "./voice-roster.js";

const TICK_MS = 5_000;
/** Three heartbeats of the server. */
const SILENCE_MS = 45_000;
/** A refusal that passes names its own, longer delay (`retry:`); only the browser sees it. */
const BROWSER_RETRY_MS = 300_000;
/** As long: the leading tab is frozen. */
const FROZEN_TICKS = SILENCE_MS / TICK_MS;
const BACKOFF_MAX_MS = 30_000;
/** Events that wait for the roster; with more, it is asked for again. */
const MAX_WAITING = 10_000;
const ROSTER_EVENTS = ["voice.*", "room.*", "VOICE_STATE_UPDATE", "CHANNEL_UPDATE", "GUILD_DELETE"];
const WAKE_EVENTS = ["online", "pageshow", "pagehide", "visibilitychange"];

export const connect = (options) => new GuildStream(options);

export class CommandError extends Error {
  constructor(status, { code = "UNKNOWN", message = `the server answered ${status}`, requestId, discord }, retryAfterMs) {
    super(message);
    Object.assign(this, { name: "CommandError", status, code, requestId, discord, retryAfterMs });
  }
}

export class GuildStream {
  #options;
  #url;
  #filter;
  #status = { state: "connecting", attempt: 0 };
  #listeners = new Map();
  #position;
  #needsRoster;
  #rosterSource;
  #waiting; // events for the roster, while it is being fetched
  // The leader's connection.
  #leading = false;
  #source;
  #opened;
  #deadline;
  #retryTimer;
  // The other tabs.
  #id = randomId();
  #filters = new Map();
  #channel;
  #silentTicks = FROZEN_TICKS - 2; // a newcomer whom nobody answers waits ten seconds
  #campaigning;
  #release;
  #tickTimer;

  constructor(options = {}) {
    const { url = "/api/stream", guild, channel, events, roster = true, share = true, lastEventId = "" } = options;
    this.#options = { ...options, roster };
    this.#url = new URL(url, globalThis.location?.href);
    this.#position = lastEventId;
    this.#needsRoster = roster;
    this.#filter = { guild: list(guild), channel: list(channel), events: list(events) };
    this.voice = new VoiceRoster(this.#filter);
    this.#filters.set(this.#id, this.#wanted());
    this.#tickTimer = setInterval(() => this.#tick(), TICK_MS);
    for (const type of WAKE_EVENTS) globalThis.addEventListener?.(type, this);
    if (share && globalThis.navigator?.locks && globalThis.BroadcastChannel) this.#join();
    else this.#lead();
  }

  get status() {
    const nothing = { retryAt: null, httpStatus: null, message: null };
    return { ...nothing, ...this.#status, lastEventId: this.#position || null, leading: this.#leading, shared: Boolean(this.#channel) };
  }

  on(name, listener) {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  async send(command, payload, { requestId = randomId(), signal } = {}) {
    const answer = await fetch(new URL("commands", this.#url), {
      method: "POST",
      credentials: "include",
      headers: { "Content-Type": "application/json", "X-Guildstream": "1" },
      body: JSON.stringify({ command, payload, requestId }),
      signal,
    });
    const body = await answer.json().catch(() => ({}));
    if (answer.ok) return body?.data;
    const retryAfterMs = answer.headers.get("Retry-After") * 1000 || undefined;
    throw new CommandError(answer.status, { requestId, ...body?.error }, retryAfterMs);
  }

  reconnect() {
    if (!this.#leading) this.#hello();
    else if (this.#isIdle()) this.#open();
  }

  close() {
    clearInterval(this.#tickTimer);
    for (const type of WAKE_EVENTS) globalThis.removeEventListener?.(type, this);
    this.#drop();
    this.#endFetch();
    this.#post({ kind: "bye", tab: this.#id });
    this.#channel?.close();
    const campaign = this.#campaigning;
    this.#channel = this.#campaigning = undefined;
    this.#leading = false;
    campaign?.abort();
    this.#release?.();
    this.#adopt({ state: "closed", attempt: 0 });
  }

  /** Events of the window: the page is about to go, or network or reader are back. */
  handleEvent({ type }) {
    if (type === "pagehide") this.#post({ kind: "bye", tab: this.#id });
    else if (document.visibilityState === "visible") this.reconnect();
  }

  // Tabs: who leads, and what they tell each other.

  #join() {
    this.#channel = new BroadcastChannel(`guildstream ${this.#url}`);
    this.#channel.onmessage = ({ data }) => this.#hear(data);
    this.#hello();
    this.#campaign();
  }

  #campaign(steal = false) {
    this.#campaigning?.abort();
    const campaign = (this.#campaigning = new AbortController());
    navigator.locks
      .request(`guildstream ${this.#url}`, steal ? { steal } : { signal: campaign.signal }, () => {
        if (campaign !== this.#campaigning) return undefined;
        this.#lead();
        return new Promise((release) => (this.#release = release));
      })
      .catch(() => {
        if (campaign !== this.#campaigning) return;
        this.#drop(); // a tab that thought this one frozen took the lock
        this.#leading = false;
        this.#silentTicks = 0;
        this.#campaign();
      });
  }

  #lead() {
    this.#leading = true;
    this.#open();
  }

  #post(message) {
    this.#channel?.postMessage(message);
  }

  #hello() {
    this.#post({ kind: "hello", tab: this.#id, filter: this.#wanted() });
  }

  #hear({ kind, tab, filter, data, id, status, filters }) {
    const before = this.#address();
    if (kind === "hello") this.#filters.set(tab, filter);
    if (kind === "bye") this.#filters.delete(tab);
    if (this.#leading) {
      if (kind === "hello") this.#isIdle() || this.#address() !== before ? this.#open() : this.#tell();
      return;
    }
    if (!tab) this.#silentTicks = 0;
    if (kind === "frame") this.#deliver(parse(data), data, id);
    if (kind === "beat" || kind === "status") this.#position = id || this.#position;
    if (kind !== "status") return;
    this.#filters = new Map(filters);
    if (this.#filters.has(this.#id)) this.#adopt(status);
    else this.#hello();
  }

  #tell() {
    this.#post({ kind: "status", id: this.#position, status: this.#status, filters: [...this.#filters] });
  }

  #tick() {
    if (this.#leading) {
      this.#post({ kind: "beat", id: this.#position });
      if (Date.now() > this.#deadline) this.#open();
    } else if (++this.#silentTicks >= FROZEN_TICKS) {
      this.#silentTicks = 0;
      this.#campaign(true);
    }
  }

  // The leader's connection.

  #open() {
    this.#drop();
    if (!this.#position) this.#endFetch(); // a fresh stream begins with snapshots
    const { attempt } = this.#status;
    this.#report({ state: attempt ? "retrying" : "connecting", attempt });
    this.#log(`Connecting to SSE: ${this.#url.pathname}`);
    this.#beat();
    const source = (this.#source = eventSource(this.#address(this.#position)));
    source.onopen = () => (this.#opened = true);
    source.onmessage = ({ data, lastEventId }) => this.#receive(data, lastEventId);
    source.addEventListener("ping", ({ lastEventId }) => this.#beat(lastEventId));
    source.onerror = () => this.#failed(source);
  }

  #drop() {
    clearTimeout(this.#retryTimer);
    this.#source?.close();
    this.#source = undefined;
    this.#opened = false;
    this.#deadline = Infinity;
  }

  #isIdle() {
    return !["live", "connecting"].includes(this.#status.state);
  }

  #beat(id) {
    this.#deadline = Date.now() + SILENCE_MS;
    if (id) this.#post({ kind: "beat", id: (this.#position = id) });
  }

  #receive(data, id) {
    this.#beat();
    const frame = parse(data);
    if (frame?.type === "ack") {
      this.#log("SSE connected");
      return this.#report({ state: "live", attempt: 0 });
    }
    this.#post({ kind: "frame", data, id });
    this.#deliver(frame, data, id);
  }

  #failed(source) {
    if (source !== this.#source) return;
    const refused = source.readyState === 2; // an answer other than 200 closes an EventSource for good
    if (refused) this.#diagnose(source);
    else if (this.#opened) {
      this.#opened = false; // the browser redials by itself, after the server's delay
      this.#deadline = Date.now() + BROWSER_RETRY_MS;
      this.#report({ state: "retrying", attempt: this.#status.attempt + 1 });
    } else this.#retry();
  }

  /** EventSource hides the status that ended it: ask once more, for the headers. */
  async #diagnose(source) {
    const abort = new AbortController();
    const answer = await fetch(this.#address(this.#position), { credentials: "include", signal: abort.signal }).catch(() => ({}));
    const state = { 400: "closed", 401: "signed-out", 403: "closed" }[answer.status];
    const body = state && (await answer.json().catch(() => {}));
    abort.abort();
    if (source !== this.#source) return;
    if (!state) return this.#retry();
    this.#drop();
    this.#report({ state, attempt: 0, httpStatus: answer.status, message: body?.error?.message });
  }

  #retry() {
    const attempt = this.#status.attempt + 1;
    const delay = Math.min(500 * 2 ** attempt, BACKOFF_MAX_MS) * (0.5 + Math.random() / 2);
    this.#drop();
    this.#report({ state: "retrying", attempt, retryAt: Date.now() + delay });
    this.#retryTimer = setTimeout(() => this.#open(), delay);
  }

  #report(status) {
    this.#adopt(status);
    this.#tell();
  }

  // Every tab: what arrived.

  #adopt(status) {
    this.#status = status;
    if (status.httpStatus) {
      this.#position = ""; // whoever signs in next may see other channels
      this.#endFetch();
      this.#needsRoster = this.#options.roster;
      this.voice.clear();
    }
    this.#emit("status", this.status, this.#options.onStatus);
    if (status.state === "live" && this.#needsRoster && !this.#waiting) this.#fetchRoster();
  }

  #deliver(frame, data, id) {
    if (frame?.type === "event") {
      const snapshot = frame.event === "voice.snapshot";
      if (!snapshot && !isAfter(id, this.#position)) return;
      this.#position = id || this.#position;
      if (snapshot) {
        this.#endFetch();
        this.#takeSnapshot(frame, data, id);
      } else {
        const wanted = this.#accepts(frame); // where someone left is known only before the roster follows
        this.#updateRoster(frame, id);
        if (wanted) this.#dispatch(frame, data, id);
      }
    } else if (frame?.code === "RESYNC") this.#emit("resync", frame, this.#options.onResync);
    else this.#emit("error", new Error(frame?.message ?? `not a frame: ${data.slice(0, 80)}`));
  }

  #dispatch({ event, payload, ts }, data, id) {
    this.#log(`Received ${event} event: ${payload?.username ?? ""}`);
    this.#emit(event, { event, payload, ts, id, get raw() { return payloadText(data); } }, this.#options.onEvent);
  }

  #takeSnapshot(frame, data, id) {
    const { channel } = this.#filter;
    if (this.#options.roster) this.voice.reset([frame.payload]);
    if (!this.#accepts(frame)) return;
    if (channel && !this.#isNarrowed()) {
      frame.payload.channels = frame.payload.channels.filter(({ channelId }) => channel.includes(channelId));
      data = JSON.stringify(frame);
    }
    this.#dispatch(frame, data, id);
  }

  #updateRoster(frame, id) {
    if (!this.#options.roster) return;
    if (!this.#waiting) this.voice.apply(frame);
    else if (this.#waiting.push([frame, id]) > MAX_WAITING) this.#fetchRoster();
  }

  /**
   * A tab that joins a running stream has missed its snapshots. A fresh stream gives them, as of a moment ago, and what
   * came after; where it has caught up with the shared one, it is left.
   */
  #fetchRoster() {
    this.#endFetch();
    this.#needsRoster = true;
    this.#waiting = [];
    const joined = this.#position;
    const source = (this.#rosterSource = eventSource(address(this.#url, { ...this.#filter, events: ROSTER_EVENTS })));
    const reach = (id) => {
      if (!id || (id !== joined && !isAfter(id, joined))) return;
      const later = this.#waiting.filter(([, other]) => isAfter(other, id));
      this.#endFetch();
      for (const [frame] of later) this.voice.apply(frame);
    };
    source.addEventListener("ping", ({ lastEventId }) => reach(lastEventId));
    source.onmessage = ({ data, lastEventId }) => {
      const frame = parse(data);
      if (frame?.event === "voice.snapshot") this.#takeSnapshot(frame, data, lastEventId);
      else if (frame?.type === "event") this.voice.apply(frame);
      reach(lastEventId);
    };
  }

  #endFetch() {
    this.#rosterSource?.close();
    this.#needsRoster = false;
    this.#waiting = undefined;
  }

  #emit(name, value, callback) {
    if (callback) call(callback, value);
    const inner = ["status", "resync", "error"].includes(name); // "*" means Discord's events
    for (const [pattern, listeners] of this.#listeners)
      if (inner ? pattern === name : covers(pattern, name)) for (const listener of listeners) call(listener, value);
  }

  #log(line) {
    if (this.#options.debug) console.log(`[VoiceChannelEvents] ${line}`);
  }

  #wanted() {
    const { guild, channel, events } = this.#filter;
    return { guild, channel, events: events && this.#options.roster ? [...events, ...ROSTER_EVENTS] : events };
  }

  /** Whether the server narrows to what this tab wants, because every tab wants the same. */
  #isNarrowed() {
    const { guild, channel } = this.#filter;
    return [...this.#filters.values()].every((other) => String(other.guild) === String(guild) && String(other.channel) === String(channel));
  }

  /** The server narrows to what all tabs want together, and adds what rosters need; this is what this tab wants. */
  #accepts({ event, payload }) {
    const { guild, channel, events } = this.#filter;
    if (events && !events.some((pattern) => covers(pattern, event))) return false;
    if ((!guild && !channel) || this.#isNarrowed()) return true;
    const p = payload ?? {};
    const ids = [p.channel_id, p.channelId, p.previousChannelId, p.parent_id, event.includes("CHANNEL_") && p.id];
    if (event === "VOICE_STATE_UPDATE" && !p.channel_id) ids.push(this.voice.seatOf(p.guild_id, p.user_id));
    if (event === "voice.snapshot") ids.push(...p.channels.map(({ channelId }) => channelId));
    return (!guild || guild.includes(p.guild_id ?? p.guildId)) && (!channel || ids.some((id) => channel.includes(id)));
  }

  /** The smallest filter that lets through what any tab wants. */
  #address(position) {
    const filters = [...this.#filters.values()];
    const union = (name) => (filters.every((filter) => filter[name]) ? [...new Set(filters.flatMap((filter) => filter[name]))].sort() : null);
    return address(this.#url, { guild: union("guild"), channel: union("channel"), events: union("events") }, position);
  }
}

function list(value) {
  return value?.length ? [value].flat() : null; // null is everything
}

function address(base, filter, position) {
  const url = new URL(base);
  for (const [name, values] of Object.entries({ ...filter, lastEventId: position })) if (values) url.searchParams.set(name, values);
  return url.href;
}

function eventSource(url) {
  return new EventSource(url, { withCredentials: true });
}

/**
 * Whether `id` is news to someone at `position`. Ids are `<epoch>-<seq>`: there is an order only within an epoch,
 * and anything of another epoch counts as news.
 */
function isAfter(id, position) {
  const [, epoch, seq] = /^(.*)-(\d+)$/.exec(id) ?? [];
  const [, otherEpoch, otherSeq] = /^(.*)-(\d+)$/.exec(position) ?? [];
  return !epoch || epoch !== otherEpoch || Number(seq) > Number(otherSeq);
}

function covers(pattern, name) {
  return pattern === name || (pattern.endsWith("*") && name.startsWith(pattern.slice(0, -1)));
}

/** The payload as the server wrote it: JSON.parse keeps neither numbers above 2^53 nor duplicate keys. */
function payloadText(data) {
  const start = data.indexOf('"payload":') + 10;
  const end = data.lastIndexOf(',"ts":');
  return start > 9 && end > start ? data.slice(start, end) : data;
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function call(listener, value) {
  try {
    listener(value);
  } catch (error) {
    queueMicrotask(() => { throw error; }); // uncaught, as it should be, and the other listeners still hear
  }
}

/** crypto.randomUUID is missing on plain http. */
function randomId() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
