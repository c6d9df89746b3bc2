/** The box that sends a message. Whether someone may write in a channel is for the server to say. */

import { byId, fillSelect, setText } from "./dom.js";

export class Composer {
  #send;

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
    fillSelect(byId("composer-channel"), channels.length ? channels : [["", "No channel yet"]]);
  }

  async #submit() {
    const [text, button] = [byId("composer-text"), byId("composer-send")];
    const content = text.value.trim();
    const channelId = byId("composer-channel").value;
    if (!content || !channelId || button.disabled) return;
    button.disabled = true;
    this.#say("Sending…", "");
    try {
      await this.#send("send_message", { channelId, content });
      if (text.value.trim() === content) text.value = "";
      this.#say("Sent.", "good");
    } catch (error) {
      this.#say(wordsFor(error), "bad");
    } finally {
      button.disabled = false;
    }
  }

  #say(words, level) {
    const outcome = byId("composer-outcome");
    outcome.dataset.level = level;
    setText(outcome, words);
  }
}

function wordsFor({ status, code, message, retryAfterMs }) {
  if (code === "MISSING_PERMISSIONS" || status === 403) return "You may not write in this channel.";
  if (status === 401) return "Your session has ended. Sign in again.";
  if (status === 429) return `Too many messages. Try again in ${Math.ceil((retryAfterMs ?? 1000) / 1000)} s.`;
  if (status === 503) return "Not sent: the connection to Discord is down.";
  if (status === 504) return "No answer yet. It may still be sent, so look before you repeat it.";
  return status ? `Not sent: ${message}` : "Not sent: the server does not answer.";
}
