"""hikari: becomes ready, writes, reacts, and prints what it sees and the number of every dispatch."""

import json
import logging
import os

import hikari

logging.basicConfig(level=logging.WARNING)
bot = hikari.GatewayBot(
    os.environ["SANDBOX_TOKEN"],
    rest_url=os.environ["SANDBOX_URL"] + "/api/v10",
    intents=hikari.Intents.ALL_UNPRIVILEGED | hikari.Intents.GUILD_MEMBERS | hikari.Intents.MESSAGE_CONTENT,
    banner=None,
    logs=None,
)


def say(**line):
    print(json.dumps(line), flush=True)


class Numbers(logging.Handler):
    """hikari tells a dispatch's number in its most talkative log alone."""

    def emit(self, record):
        if record.msg == "dispatching %s with seq %s":
            say(s=record.args[1])


shard = logging.getLogger("hikari.gateway.0")
shard.setLevel("TRACE_HIKARI")
shard.addHandler(Numbers())
shard.propagate = False


@bot.listen()
async def started(_: hikari.StartedEvent):
    say(saw="ready")
    message = await bot.rest.create_message(int(os.environ["SANDBOX_CHANNEL"]), "hello from hikari")
    await message.add_reaction("🎉")


@bot.listen()
async def written(event: hikari.GuildMessageCreateEvent):
    if event.author_id == bot.get_me().id:
        say(saw="message")


@bot.listen()
async def reacted(event: hikari.GuildReactionAddEvent):
    if event.user_id == bot.get_me().id:
        say(saw="reaction")


bot.run(check_for_updates=False)
