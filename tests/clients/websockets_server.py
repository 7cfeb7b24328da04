"""A server made with Python's websockets, which echoes and takes orders. Prints its port, then each Close that it gets."""

import asyncio
import websockets


async def serve(socket, path):
    try:
        async for message in socket:
            words = message.split(" ", 2) if isinstance(message, str) and len(message) < 100 else [""]
            if words[0] == "disconnect":
                await socket.close(int(words[1]), words[2])
            elif words[0] == "ping":
                await (await socket.ping(words[1]))
                await socket.send("pong " + words[1])
            elif words[0] == "drop":
                socket.transport.abort()
            else:
                await socket.send(message)
    except websockets.ConnectionClosed:
        pass
    await socket.wait_closed()
    print(socket.close_code, socket.close_reason, flush=True)


async def main():
    async with websockets.serve(serve, "127.0.0.1", 0, max_size=4 * 1024 * 1024) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.Future()


asyncio.run(main())
