// Typed after discord-api-types where it is installed; without it, payloads of raw Discord events are `any`.
// @ts-ignore: an optional peer dependency
import type { GatewayDispatchPayload } from "discord-api-types/v10";

/** Opens the stream, or joins the one that another tab has open. */
export function connect(options?: ConnectOptions): GuildStream;

export interface ConnectOptions {
  /** Address of the stream. Default `/api/stream`; commands go to `commands` beside it. */
  url?: string | URL;
  /** Only these guilds. */
  guild?: string | readonly string[];
  /**
   * Only these channels, and nothing that concerns the whole guild. A thread counts as its channel; while other tabs ask
   * for other channels, its messages are left out.
   */
  channel?: string | readonly string[];
  /** Only these events: names, or prefixes such as `voice.*`. What the roster needs is asked for as well. */
  events?: string | readonly string[];
  /** Keep `stream.voice`. Default true. */
  roster?: boolean;
  /** Share one connection among all tabs. Default true. */
  share?: boolean;
  /** Begin after this event, as `status.lastEventId` said earlier. Default: begin with snapshots. */
  lastEventId?: string;
  /** Called with every event. */
  onEvent?: (event: StreamEvent) => void;
  /** Called with every change of the connection. */
  onStatus?: (status: StreamStatus) => void;
  /** Called when events were missed that cannot be had any more. Snapshots follow. */
  onResync?: (notice: ResyncNotice) => void;
  /** Write what happens to the console. Default false. */
  debug?: boolean;
}

/** An open stream. */
export declare class GuildStream {
  constructor(options?: ConnectOptions);
  /** Who sits in which voice channel. */
  readonly voice: VoiceRoster;
  readonly status: StreamStatus;
  /**
   * Calls `listener` for events of this name, of a prefix such as `voice.*`, or for all (`*`). `status`, `resync` and
   * `error` are about the stream itself and not part of `*`. Returns a function that ends it.
   */
  on<Name extends keyof StreamNotices>(name: Name, listener: (notice: StreamNotices[Name]) => void): () => void;
  on<Name extends string>(name: Name, listener: (event: StreamEvent<Name>) => void): () => void;
  /**
   * Sends a command in the signed-in user's name. Resolves with Discord's answer; rejects with a CommandError. Repeating
   * it with the same `requestId` does not execute it twice.
   */
  send<Name extends keyof Commands>(command: Name, payload: Commands[Name], options?: SendOptions): Promise<any>;
  send(command: string, payload: object, options?: SendOptions): Promise<any>;
  /** Tries again at once, for example after a sign-in. */
  reconnect(): void;
  /** Leaves. Other tabs keep the connection. */
  close(): void;
}

/** What the stream says about itself. */
export interface StreamNotices {
  status: StreamStatus;
  resync: ResyncNotice;
  error: Error;
}

export interface StreamStatus {
  /** `signed-out`: no session. `closed`: by `close()`, or for good with `httpStatus` 400 or 403. */
  state: "connecting" | "live" | "retrying" | "signed-out" | "closed";
  /** Failed attempts in a row. */
  attempt: number;
  /** When the next attempt is due, in milliseconds since the Unix epoch; null where only the browser knows. */
  retryAt: number | null;
  /** The answer that ended the stream. */
  httpStatus: number | null;
  /** What the server said about it. */
  message: string | null;
  /** The position to resume after. */
  lastEventId: string | null;
  /** Whether this tab holds the connection. */
  leading: boolean;
  /** Whether tabs share it here: they need Web Locks, which plain http has on localhost only. */
  shared: boolean;
}

export interface ResyncNotice {
  v: 1;
  type: "error";
  code: "RESYNC";
  message: string;
  ts: number;
}

/** One event, from Discord or derived from one. */
export interface StreamEvent<Name extends string = string> {
  event: Name;
  payload: PayloadOf<Name>;
  /** When the gateway received it, in milliseconds since the Unix epoch. */
  ts: number;
  /** Its position, `<epoch>-<seq>`. */
  id: string;
  /** The payload's text as Discord sent it: numbers above 2^53 keep their digits. */
  readonly raw: string;
}

/** The payload of the event of this name; `any` for names that nobody has typed. */
export type PayloadOf<Name extends string> = Name extends keyof DerivedEvents
  ? DerivedEvents[Name]
  : Name extends keyof DiscordEvents
    ? DiscordEvents[Name]
    : any;

/** Payloads of Discord's own events. */
export type DiscordEvents = { [Dispatch in GatewayDispatchPayload as `${Dispatch["t"]}`]: Dispatch["d"] };

/** What guildstream derives from Discord's events. */
export interface DerivedEvents {
  "voice.joined": { guildId: string; channelId: string; userId: string; username: string | null; displayName: string | null; avatar: string | null };
  "voice.left": { guildId: string; channelId: null; userId: string; previousChannelId: string };
  "voice.moved": { guildId: string; channelId: string; previousChannelId: string; userId: string; username: string | null; displayName: string | null; avatar: string | null };
  "voice.snapshot": { guildId: string; channels: Array<Omit<VoiceChannel, "guildId">> };
  "room.created": Room;
  "room.deleted": Room;
}

export interface Room {
  guildId: string;
  channelId: string;
  name: string | null;
  parentId: string | null;
  userLimit: number | null;
}

export interface VoiceChannel extends Room {
  members: readonly VoiceMember[];
}

export interface VoiceMember {
  userId: string;
  username: string | null;
  /** What Discord shows: the nickname in the guild, else the global name, else the username. */
  displayName: string | null;
  /** Address of the picture. */
  avatar: string | null;
  // Discord sends these with the voice state; missing until it did.
  selfMute?: boolean;
  selfDeaf?: boolean;
  selfVideo?: boolean;
  selfStream?: boolean;
  mute?: boolean;
  deaf?: boolean;
  /** In the audience of a stage. */
  suppress?: boolean;
}

/** Voice channels, kept from snapshots and the events after them. What changed is a new object, the rest stays. */
export interface VoiceRoster {
  /** All voice channels; the same array until something changes. */
  getSnapshot(): readonly VoiceChannel[];
  /** Calls `listener` after each change; returns a function that ends it. */
  subscribe(listener: (channels: readonly VoiceChannel[]) => void): () => void;
}

/** Payloads of the commands. */
export interface Commands {
  send_message: { channelId: string; content?: string; replyTo?: string; embeds?: object[]; allowedMentions?: object; nonce?: string };
  edit_message: { channelId: string; messageId: string; content?: string; embeds?: object[]; allowedMentions?: object };
  delete_message: { channelId: string; messageId: string };
  add_reaction: { channelId: string; messageId: string; emoji: string };
  remove_reaction: { channelId: string; messageId: string; emoji: string; userId?: string };
  create_channel: { guildId: string; name: string; type: string | number; parentId?: string; userLimit?: number };
  delete_channel: { channelId: string };
  move_member: { guildId: string; userId: string; channelId: string | null };
  start_typing: { channelId: string };
}

export interface SendOptions {
  /** 1 to 64 printable ASCII characters. Default: a random one. */
  requestId?: string;
  signal?: AbortSignal;
}

/** A command that was refused, or whose outcome is unknown (504). */
export declare class CommandError extends Error {
  readonly status: number;
  readonly code: string;
  readonly requestId?: string;
  /** Discord's own code and message, where Discord refused. */
  readonly discord?: { code: number; message: string };
  /** How long to wait before another try. */
  readonly retryAfterMs?: number;
}
