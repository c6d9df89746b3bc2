/** A browser small enough for `node --test`: EventSource, fetch, Web Locks and BroadcastChannel, driven by hand. */

const CONNECTING = 0;
const OPEN = 1;
const CLOSED = 2;

/** Every EventSource that was opened since `install`, oldest first. */
export const sources = [];
let channels = [];
let holders = new Map();

export class FakeEventSource {
  readyState = CONNECTING;
  #listeners = new Map();

  constructor(url) {
    this.url = new URL(url);
    sources.push(this);
  }

  addEventListener(type, listener) {
    this.#listeners.set(type, listener);
  }

  close() {
    this.readyState = CLOSED;
  }

  /** The server answers 200. */
  open() {
    this.readyState = OPEN;
    this.onopen?.();
    return this;
  }

  /** The ack: from here on the stream is live. */
  ack(id = "") {
    return this.frame({ v: 1, type: "ack", event: "connected", ts: 1 }, id);
  }

  /** One event with its id. */
  event(event, payload, id = "") {
    return this.text(`{"v":1,"type":"event","event":${JSON.stringify(event)},"payload":${JSON.stringify(payload)},"ts":5}`, id);
  }

  frame(frame, id = "") {
    return this.text(JSON.stringify(frame), id);
  }

  text(data, lastEventId = "") {
    if (this.readyState !== CLOSED) this.onmessage?.({ data, lastEventId });
    return this;
  }

  ping(lastEventId = "") {
    this.#listeners.get("ping")?.({ data: "{}", lastEventId });
    return this;
  }

  /** The connection breaks; a browser would dial again by itself. */
  break() {
    this.readyState = CONNECTING;
    this.onerror?.();
  }

  /** The answer was not 200: a browser gives up. */
  refuse() {
    this.readyState = CLOSED;
    this.onerror?.();
  }
}

class FakeBroadcastChannel {
  constructor(name) {
    this.name = name;
    channels.push(this);
  }

  postMessage(data) {
    for (const other of [...channels]) if (other !== this && other.name === this.name) other.onmessage?.({ data: structuredClone(data) });
  }

  close() {
    channels = channels.filter((other) => other !== this);
  }
}

/** Grants in the order of asking; a release passes the lock on, a theft rejects its holder. */
const locks = {
  async request(name, { signal, steal }, callback) {
    const queue = holders.get(name) ?? [];
    holders.set(name, queue);
    const turn = deferred();
    const stolen = deferred();
    const request = { grant: turn.resolve, lose: stolen.reject };
    stolen.promise.catch(() => {});
    if (steal) {
      queue.shift()?.lose(new Error("stolen"));
      queue.unshift(request);
    } else queue.push(request);
    signal?.addEventListener("abort", () => {
      if (queue.indexOf(request) < 1) return; // a lock that was granted stays
      queue.splice(queue.indexOf(request), 1);
      turn.reject(new Error("aborted"));
    });
    if (queue[0] === request) turn.resolve();
    await turn.promise;
    await Promise.race([callback(), stolen.promise]);
    queue.shift();
    queue[0]?.grant();
  },
};

function deferred() {
  let [resolve, reject] = [];
  const promise = new Promise((...ends) => ([resolve, reject] = ends));
  return { promise, resolve, reject };
}

/** Puts the fakes in the place of the browser's own. `answer` is what `fetch` gives. */
export function install({ shared = true, answer } = {}) {
  sources.length = 0;
  channels = [];
  holders = new Map();
  const calls = [];
  const define = (name, value) => Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  define("EventSource", FakeEventSource);
  define("location", new URL("http://page.test/"));
  define("document", { visibilityState: "visible" });
  define("BroadcastChannel", FakeBroadcastChannel);
  define("navigator", shared ? { locks } : {});
  define("fetch", async (url, options) => {
    calls.push({ url: String(url), ...options });
    const { status = 200, body = {}, headers = {} } = answer?.(calls.length) ?? {};
    return { ok: status === 200, status, headers: new Headers(headers), json: async () => body };
  });
  return calls;
}

/** Lets every promise that can settle do so. */
export async function settle() {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
}
