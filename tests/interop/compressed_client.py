"""Talks to the servers at the given addresses, as compressed_talk.mjs does. Prints what was agreed with each."""

import asyncio
import json
import sys

FRAGMENTED = 8
PLAIN = "this one is plain"


def ten_messages():
    """The messages of compressed_talk.mjs."""
    state = 1

    def random():
        nonlocal state
        state = state * 48271 % 2147483647
        return state & 255

    data = bytes(random() for _ in range(5000))
    words = ["aäbcödeüfghi€jklmnopqrstu"[i : i + 2 + i % 5] for i in range(16)]
    entries = [{"id": i, "name": f"user {i * 7 % 97}", "tags": ["ä", i % 3 == 0], "x": None} for i in range(256)]
    pieces, length = [], 0
    while length < 177 * 1024:
        pieces.append(words[random() & 15] + " ")
        length += len(pieces[-1])
    text = "".join(pieces)
    more = {"entries": entries, "more": ",".join(words) * 40}
    compact = json.dumps(more, ensure_ascii=False, separators=(",", ":"))
    return [
        "",
        "x",
        "Hello, how are you?",
        "ünïcödé, 日本語, 🎉 \0, " * 20,
        compact,
        compact,
        data,
        text,
        text[-10_000:],
        bytes(1024 * 1024),
    ]


MESSAGES = ten_messages()


def compare(actual, expected, what):
    if actual != expected:
        raise AssertionError(f"{what}: {actual!r:.200} ({len(actual)}) instead of {expected!r:.200} ({len(expected)})")


async def talk(receive, send):
    """Hears the messages whole and in fragments, sends them, and hears their echoes."""
    for order in ["whole", "fragments"]:
        await send(order)
        for i, message in enumerate([*MESSAGES, PLAIN]):
            compare(await receive(), message, f"message {i}, {order}")
    for i, message in enumerate(MESSAGES):
        third = -(-len(message) // 3)
        cut = [message[:third], message[third : 2 * third], message[2 * third :]]
        await send(message, cut if i == FRAGMENTED else None)
    for i, message in enumerate(MESSAGES):
        compare(await receive(), message, f"echo {i}")


async def talk_websockets(url):
    import websockets

    client = await websockets.connect(url, max_size=4 * 1024 * 1024)
    await talk(client.recv, lambda message, cut=None: client.send(cut or message))
    await client.close()
    print(client.response_headers.get("Sec-WebSocket-Extensions", ""), flush=True)


async def talk_aiohttp(url):
    import aiohttp

    async with aiohttp.ClientSession() as session, session.ws_connect(url, compress=15) as client:

        async def receive():
            return (await client.receive()).data

        async def send(message, _cut=None):  # it cannot send fragments
            await (client.send_str(message) if isinstance(message, str) else client.send_bytes(message))

        await talk(receive, send)
        print(client._response.headers.get("Sec-WebSocket-Extensions", ""), flush=True)


async def main():
    for url in sys.argv[2:]:
        await (talk_aiohttp if sys.argv[1] == "aiohttp" else talk_websockets)(url)


asyncio.run(main())
