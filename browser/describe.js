/** What an event says, in a line. Payloads come from Discord unchecked: any field may be missing or of another type. */

const SUMMARY_LENGTH = 160;

/** The channel that an event is about, or undefined. */
export function channelOf({ event, payload }) {
  const p = payload ?? {};
  const id = p.channel_id ?? p.channelId ?? p.previousChannelId ?? (/CHANNEL_|THREAD_/.test(event) ? p.id : undefined);
  return typeof id === "string" ? id : undefined;
}

/** One line for the list of live events; `names` knows what events name by an id alone. */
export function summaryOf({ event, payload }, names) {
  const describe = SENTENCES[event];
  const text = describe ? describe(payload ?? {}, names) : fallback(payload);
  return String(text ?? "").slice(0, SUMMARY_LENGTH);
}

/** What to call someone, also when no name is known. */
export function nameOf({ displayName, username, userId }) {
  return displayName || username || `someone (…${String(userId).slice(-4)})`;
}

/** A name written from right to left does not turn the rest of the line. https://www.w3.org/International/questions/qa-bidi-unicode-controls */
export function isolate(name) {
  return `\u2068${name}\u2069`;
}

const SENTENCES = {
  "voice.joined": (p) => `${isolate(nameOf(p))} joined`,
  "voice.left": (p, names) => `${isolate(names.personName(p.userId) ?? "someone")} left`,
  "voice.moved": (p) => `${isolate(nameOf(p))} moved here`,
  "voice.snapshot": (p) => (p.channels?.length === 1 ? "1 channel" : `${p.channels?.length ?? 0} channels`),
  "room.created": (p) => `${isolate(p.name ?? p.channelId)} was created`,
  "room.deleted": (p) => `${isolate(p.name ?? p.channelId)} was deleted`,
  VOICE_STATE_UPDATE: (p, names) => `${who(p, names)}: ${voiceWords(p)}`,
  MESSAGE_CREATE: (p, names) => `${who(p, names)}: ${isolate(p.content ? plain(p.content, names) : attachments(p))}`,
  MESSAGE_UPDATE: (p, names) => `${who(p, names)} edited: ${isolate(plain(p.content ?? "", names))}`,
  MESSAGE_DELETE: () => "a message was deleted",
  MESSAGE_REACTION_ADD: (p, names) => `${who(p, names)} reacted ${p.emoji?.name ?? ""}`,
  MESSAGE_REACTION_REMOVE: (p, names) => `${who(p, names)} took back ${p.emoji?.name ?? ""}`,
  TYPING_START: (p, names) => `${who(p, names)} is typing`,
  GUILD_MEMBER_ADD: (p, names) => `${who(p, names)} joined the server`,
  GUILD_MEMBER_UPDATE: (p, names) => `${who(p, names)} changed`,
  GUILD_MEMBER_REMOVE: (p, names) => `${who(p, names)} left the server`,
};

function who(p, names) {
  const user = p.author ?? p.member?.user ?? p.user ?? {};
  const nick = p.member?.nick ?? p.nick;
  return isolate(nick ?? user.global_name ?? user.username ?? names.personName(p.user_id) ?? "someone");
}

/** A message's text with names in the place of ids. https://discord.com/developers/docs/reference#message-formatting */
function plain(content, names) {
  return String(content).replace(/<(@!?|#|@&|a?:\w+:)(\d+)>/g, (_, kind, id) => {
    if (kind === "#") return names.channelName(id);
    if (kind === "@&") return `@${names.roleName(id) ?? "role"}`;
    return kind.startsWith("@") ? `@${names.personName(id) ?? "someone"}` : kind.replace(/^a/, "");
  });
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
