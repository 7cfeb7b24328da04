"""Checks the server at the given address with the client of Python's websockets. Prints a line for each thing checked."""

import asyncio
import sys
import websockets

SIZES = [0, 1, 125, 126, 127, 65535, 65536, 1024 * 1024]


def connect(**options):
    return websockets.connect(sys.argv[1], max_size=4 * 1024 * 1024, **options)


def expect(actual, expected):
    if actual != expected:
        raise AssertionError(f"{actual!r:.200} instead of {expected!r:.200}")


def done(what):
    print(what, flush=True)


async def end_of(socket):
    """The code and reason that end the connection."""
    await socket.wait_closed()
    return f"{socket.close_code} {socket.close_reason}"


async def main():
    client = await connect()
    expect([extension.name for extension in client.extensions], sys.argv[2:])
    for text in ["hello", "ünïcödé 🎉 \0", *("x" * size for size in SIZES)]:
        await client.send(text)
        expect(await client.recv(), text)
    done("text")

    for size in SIZES:
        data = bytes((i * 7 + (i >> 8)) & 255 for i in range(size))
        await client.send(data)
        expect(await client.recv(), data)
    done("binary")

    await client.send(["one ", "", "zwei ü", " three"])
    expect(await client.recv(), "one zwei ü three")
    await client.send([bytes([i]) * 1000 for i in range(100)])
    expect(len(await client.recv()), 100_000)
    done("fragments")

    for payload in ["", "x" * 125]:
        await (await client.ping(payload))
    await client.send("ping are-you-there")
    expect(await client.recv(), "pong are-you-there")
    await client.pong("nobody asked")
    expect(await client.recv(), "pong nobody asked")
    done("ping and pong")

    for i in range(1000):
        await client.send(f"message {i}" if i % 2 else f"message {i}".encode())
    for i in range(1000):
        expect(await client.recv(), f"message {i}" if i % 2 else f"message {i}".encode())
    done("order")

    await client.close(4321, "bye für now")
    expect(await end_of(client), "4321 bye für now")
    done("close by the client")

    other = await connect()
    await other.send("disconnect 4001 that is enough")
    expect(await end_of(other), "4001 that is enough")
    done("close by the server")

    dropped = await connect()
    await dropped.send("drop")
    expect(await end_of(dropped), "1006 ")
    done("end without a Close")

    chosen = await connect(subprotocols=["echo.x", "echo.b", "echo.a"])
    expect(chosen.subprotocol, "echo.b")
    await chosen.close()
    expect(await end_of(chosen), "1000 ")
    done("subprotocol")


asyncio.run(main())
