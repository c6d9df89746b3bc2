/** The box that sends a message. It offers the channels in which the viewer may write; the server decides. */

import { byId, fillSelect, setText } from "./dom.js";

export class Composer {
  #send;
  #busy = false;
  #unanswered; // what may have been sent, under its request id

  /** `send` is the stream's. */
  constructor(send) {
    this.#send = send;
    byId("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
  }

  /** Offers the channels, as pairs of id and name. */
  offer(channels) {
    fillSelect(byId("composer-channel"), channels.length ? channels : [["", "nowhere to write"]]);
  }

  async #submit() {
    const text = byId("composer-text");
    const content = text.value.trim();
    const channelId = byId("composer-channel").value;
    if (!content || this.#busy) return text.focus();
    if (!channelId) return this.#say("There is no channel in which you may write.", "bad");
    this.#busy = true;
    this.#say("Sending…", "");
    const key = channelId + content;
    const requestId = this.#unanswered?.key === key ? this.#unanswered.requestId : crypto.getRandomValues(new Uint32Array(4)).join("-");
    this.#unanswered = undefined;
    try {
      await this.#send("send_message", { channelId, content }, { requestId });
      if (text.value.trim() === content) text.value = "";
      this.#say("Sent.", "good");
    } catch (error) {
      if (!error.status || error.status === 504) this.#unanswered = { key, requestId };
      this.#say(wordsFor(error), "bad");
    }
    this.#busy = false;
    text.focus();
  }

  #say(words, level) {
    const outcome = byId("composer-outcome");
    outcome.dataset.level = level;
    setText(outcome, words);
  }
}

function wordsFor({ status, message, retryAfterMs, discord }) {
  if (status === 403) return "You may not write in this channel.";
  if (discord?.code === 50013) return "Not sent: the bot may not write in this channel.";
  if (status === 401) return "Your session has ended. Sign in again.";
  if (status === 429) return `Too many messages. Try again in ${Math.ceil((retryAfterMs ?? 1000) / 1000)} s.`;
  if (status === 503) return "Not sent: the connection to Discord is down.";
  if (status === 504) return "No answer yet. Send it again: it arrives only once.";
  return status ? `Not sent: ${message}` : "Not sent: the server does not answer. Send it again: it arrives only once.";
}
