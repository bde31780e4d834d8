"""Random commands about a few keys: Atomic KV answers as Redis does, to the letter of its errors, over both protocols.

    KV_SEED=n, KV_COMMANDS=n: another run than that of every day
"""

import os
import random
import sys

from redis import Connection
from redis.exceptions import ResponseError
from server import HOST, PORT, addresses
from differential_commands import Commands

SEED = int(os.environ.get("KV_SEED", random.SystemRandom().randrange(1_000_000)))
COMMANDS = int(os.environ.get("KV_COMMANDS", 2000))


class Server:
    """One connection, and what is answered on it as it is."""

    def __init__(self, host, port, protocol):
        self.connection = Connection(host=host, port=port, protocol=protocol, socket_timeout=30)
        self.connection.connect()

    def ask(self, *command):
        self.connection.send_command(*command)
        try:
            return self.connection.read_response()
        except ResponseError as error:
            # redis-py takes the code away from some errors and not from others.
            return f"{type(error).__name__}: {error}"


def short(thing):
    """The thing as text that is worth reading."""
    text = repr(thing)
    return text if len(text) <= 300 else f"… {text[-300:]}"


def compare(protocol, commands):
    """Sends the same to both; returns what was answered otherwise, one example for each command."""
    servers = [Server(HOST, PORT, protocol), Server(*addresses("KV_REDIS")[0], protocol)]
    differences = {}
    recent = []
    for server in servers:
        server.ask("DEL", *commands.keys)
    for _ in range(COMMANDS):
        command = commands.draw()
        ours, theirs = (server.ask(*command) for server in servers)
        recent = [*recent[-4:], command]
        if not commands.same(command, ours, theirs):
            example = f"{short(recent)}\n  Atomic KV: {short(ours)}\n  Redis:     {short(theirs)}"
            differences.setdefault(command[0].upper(), example)
            for server in servers:
                server.ask("RESET")
                server.ask("HELLO", protocol)
                server.ask("DEL", *commands.keys)
            commands.begin()
    return differences


different = {}
for protocol in (2, 3):
    different |= compare(protocol, Commands(random.Random(SEED)))
for name, example in different.items():
    print(f"{name}, after {example}")
print(f"KV_SEED={SEED}")
sys.exit(bool(different))
