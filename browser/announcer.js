/** A few words now and then for those who listen to the page. A busy server is summed up, and seldom. */

import { byId } from "./dom.js";
import { isolate, nameOf } from "./describe.js";

const TICK_MS = 4_000;
/** With more than these at once, only their number is told, and the next words wait for longer. */
const MAX_TOLD = 3;
const BUSY_PAUSE_MS = 30_000;

export class Announcer {
  #words = []; // what is to be said in any case
  #moves = [];
  #moved = 0;
  #quietUntil = 0;

  constructor() {
    setInterval(() => this.#speak(), TICK_MS);
  }

  /** Says this with the next words. */
  say(sentence) {
    this.#words.push(sentence);
  }

  /** Notes who joins, moves and leaves. */
  hear({ event, payload }, names) {
    if (!/^voice\.(joined|moved|left)$/.test(event)) return;
    this.#moved += 1;
    if (this.#moves.length >= MAX_TOLD) return;
    const person = isolate(nameOf({ displayName: names.personName(payload.userId), ...payload }));
    const channel = names.channelName(payload.channelId ?? payload.previousChannelId);
    this.#moves.push(`${person} ${{ "voice.joined": "joined", "voice.moved": "moved to", "voice.left": "left" }[event]} ${channel}`);
  }

  #speak() {
    const words = this.#words.splice(0);
    if (this.#moved && Date.now() >= this.#quietUntil) {
      const busy = this.#moved > MAX_TOLD;
      words.push(busy ? `${this.#moved} people joined, moved or left.` : `${this.#moves.join(", ")}.`);
      if (busy) this.#quietUntil = Date.now() + BUSY_PAUSE_MS;
      this.#moves = [];
      this.#moved = 0;
    }
    if (words.length) byId("announcer").textContent = words.join(" ");
  }
}
