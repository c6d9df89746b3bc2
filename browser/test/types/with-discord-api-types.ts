// Compiled, never run: with discord-api-types installed, raw Discord events are typed too.
import { connect } from "guildstream";

const stream = connect();
stream.on("MESSAGE_CREATE", ({ payload }) => {
  const content: string = payload.content;
  // @ts-expect-error: no such field
  payload.contnt;
  return content;
});
