/** What an event says, in a line. Payloads come from Discord unchecked: any field may be missing or of another type. */

const SUMMARY_LENGTH = 160;

/** The channel that an event is about, or undefined. */
export function channelOf({ event, payload }) {
  const p = payload ?? {};
  const id = p.channel_id ?? p.channelId ?? p.previousChannelId ?? (/CHANNEL_|THREAD_/.test(event) ? p.id : undefined);
  return typeof id === "string" ? id : undefined;
}

/** One line for the list of live events; `personName` knows people whom the event names by id alone. */
export function summaryOf({ event, payload }, personName = () => undefined) {
  const describe = SENTENCES[event];
  const text = describe ? describe(payload ?? {}, personName) : fallback(payload);
  return String(text ?? "").slice(0, SUMMARY_LENGTH);
}

const SENTENCES = {
  "voice.joined": (p) => `${isolate(p.username ?? "someone")} joined`,
  "voice.left": (p, personName) => `${isolate(personName(p.userId) ?? "someone")} left`,
  "voice.moved": (p) => `${isolate(p.username ?? "someone")} moved here`,
  "voice.snapshot": (p) => `${p.channels?.length ?? 0} channels`,
  "room.created": (p) => `${p.name ?? p.channelId} was created`,
  "room.deleted": (p) => `${p.name ?? p.channelId} was deleted`,
  VOICE_STATE_UPDATE: (p) => `${who(p)}: ${voiceWords(p)}`,
  MESSAGE_CREATE: (p) => `${who(p)}: ${isolate(p.content || attachments(p))}`,
  MESSAGE_UPDATE: (p) => `${who(p)} edited: ${isolate(p.content ?? "")}`,
  MESSAGE_DELETE: () => "a message was deleted",
  MESSAGE_REACTION_ADD: (p) => `${who(p)} reacted ${p.emoji?.name ?? ""}`,
  MESSAGE_REACTION_REMOVE: (p, personName) => `${isolate(personName(p.user_id) ?? "someone")} took back ${p.emoji?.name ?? ""}`,
  TYPING_START: (p) => `${who(p)} is typing`,
  GUILD_MEMBER_ADD: (p) => `${who(p)} joined the server`,
  GUILD_MEMBER_REMOVE: (p) => `${who(p)} left the server`,
};

function who(p) {
  const user = p.author ?? p.member?.user ?? p.user ?? {};
  return isolate(user.global_name ?? user.username ?? p.user_id ?? "someone");
}

/** A name written from right to left does not turn the rest of the line. https://www.w3.org/International/questions/qa-bidi-unicode-controls */
function isolate(name) {
  return `\u2068${name}\u2069`;
}

function voiceWords(p) {
  if (!p.channel_id) return "not in voice";
  const words = [p.self_stream && "streaming", p.self_video && "camera", (p.deaf || p.self_deaf) && "deafened", (p.mute || p.self_mute) && "muted"];
  return words.filter(Boolean).join(", ") || "in voice";
}

function attachments(p) {
  const count = (p.attachments?.length ?? 0) + (p.embeds?.length ?? 0);
  return count ? `${count} attached` : "(no text)";
}

function fallback(payload) {
  if (payload === null || typeof payload !== "object") return payload;
  return payload.name ?? payload.user?.username ?? (payload.id ? `id ${payload.id}` : "");
}

/**
 * JSON text with line breaks and indentation, every other character as it was: numbers keep their digits and double
 * keys stay double, which JSON.parse could not promise.
 */
export function indentJson(text) {
  let depth = 0;
  const line = () => `\n${"  ".repeat(Math.min(depth, 40))}`;
  const token = /"(?:[^"\\]|\\.)*"|[[\]{},:]|[^\s[\]{},:"]+/gs;
  let out = "";
  for (const [part] of text.matchAll(token)) {
    if (part === "{" || part === "[") {
      depth += 1;
      out += part + line();
    } else if (part === "}" || part === "]") {
      depth -= 1;
      out = /[[{]\s*$/.test(out.slice(-90)) ? out.trimEnd() + part : out + line() + part;
    } else if (part === ",") out += part + line();
    else out += part === ":" ? ": " : part;
  }
  return out;
}
