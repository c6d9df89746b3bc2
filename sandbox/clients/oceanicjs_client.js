// oceanic.js: becomes ready, writes, reacts, and prints what it sees and the number of every dispatch.
const { Client } = require("oceanic.js");

const { SANDBOX_URL, SANDBOX_TOKEN, SANDBOX_CHANNEL } = process.env;
const say = (line) => console.log(JSON.stringify(line));
const client = new Client({
  auth: `Bot ${SANDBOX_TOKEN}`,
  rest: { baseURL: `${SANDBOX_URL}/api/v10` },
  gateway: {
    compress: "zlib-stream",
    intents: ["GUILDS", "GUILD_MEMBERS", "GUILD_MESSAGES", "GUILD_MESSAGE_REACTIONS", "GUILD_VOICE_STATES", "MESSAGE_CONTENT"],
  },
});

client.on("packet", ({ s }) => s && say({ s }));
client.on("warn", (note) => say({ note }));
client.on("error", (error) => say({ note: String(error) }));
client.once("ready", async () => {
  say({ saw: "ready" });
  const message = await client.rest.channels.createMessage(SANDBOX_CHANNEL, { content: "hello from oceanic.js" });
  await message.createReaction("🎉");
});
client.on("messageCreate", ({ author }) => author.id === client.user.id && say({ saw: "message" }));
client.on("messageReactionAdd", (_, { id }) => id === client.user.id && say({ saw: "reaction" }));
client.connect();
