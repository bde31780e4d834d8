"""What `differential.py` sends: commands with options that fit, options that do not, and too few arguments."""

#: Integers at their edges, and what only looks like one.
NUMBERS = ["0", "1", "-1", "7", "100", "9223372036854775807", "-9223372036854775808", "9223372036854775808"]
NO_NUMBERS = ["", "abc", "1.5", " 1", "1 ", "+1", "01", "1e3", "0x10", "nan", "inf", "-"]
VALUES = [*NUMBERS, *NO_NUMBERS, "value", "x" * 50, "3.0e3", b"\x00\xff\r\n"]
#: Scripts about one key.
SCRIPTS = [
    "return redis.call('get', KEYS[1])",
    "return redis.call('set', KEYS[1], ARGV[1])",
    "return redis.call('incrby', KEYS[1], ARGV[1])",
    "return redis.pcall('incrby', KEYS[1], ARGV[1])",
    "return {redis.call('strlen', KEYS[1]), redis.call('exists', KEYS[1]), ARGV[1], 3.7, true, false, {'nested', {}}}",
    "redis.call('append', KEYS[1], ARGV[1]) return redis.call('getrange', KEYS[1], 0, 20)",
    "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end",
    "return redis.error_reply('MINE ' .. #ARGV[1])",
    "return redis.status_reply('FINE')",
    "return redis.sha1hex(ARGV[1])",
    "return cjson.encode({a = ARGV[1], b = {1, 2, 3}})",
    "return type(redis.call('set', KEYS[1], 'x', 'NX'))",
    "error('it failed')",
    "return nothing",
    "return redis.call('nope', KEYS[1])",
    "return redis.call('set', KEYS[1])",
    "syntax error",
]
#: Encodings of a string.
ENCODINGS = (b"raw", b"embstr", b"int")
#: Commands of which the reply is a time: how much two of them may differ.
TIMES = {"TTL": 5, "PTTL": 5000, "EXPIRETIME": 5, "PEXPIRETIME": 5000}


def same(command, ours, theirs):
    """Whether two replies to a command are the same, but for what clocks say."""
    tolerance = TIMES.get(command[0].upper(), 0)
    if tolerance and isinstance(ours, int) and isinstance(theirs, int) and min(ours, theirs) > 0:
        return abs(ours - theirs) <= tolerance
    # A string that has been changed is called otherwise by Redis than one that has been set.
    if command[0].upper() == "OBJECT" and ours in ENCODINGS and theirs in ENCODINGS:
        return True
    if command[0].upper() == "KEYS" and isinstance(ours, list) and isinstance(theirs, list):
        return sorted(ours) == sorted(theirs)
    return ours == theirs and type(ours) is type(theirs)


class Commands:
    """Draws commands."""

    def __init__(self, chance):
        self.chance = chance
        self.keys = [f"differential:{n}" for n in range(3)]
        self.deadlines = list(range(10_000, 100_000_000, 1000))
        chance.shuffle(self.deadlines)
        self.begin()

    def begin(self):
        """No transaction is open."""
        #: The key of the open transaction, and what was queued.
        self.transaction = None

    def draw(self):
        """The next command."""
        chance = self.chance
        if self.transaction is not None:
            return self.within()
        if chance.random() < 0.03:
            self.transaction = (chance.choice(self.keys), [])
            return ["MULTI"]
        return self.command(chance.choice(self.keys))

    def within(self):
        """The next command of a transaction, which is about one key."""
        key, queued = self.transaction
        end = self.chance.random()
        if end < 0.2:
            return ["EXEC"] if end < 0.17 else ["DISCARD"]
        command = self.command(key, several=False)
        queued.append(command)
        return command

    def same(self, command, ours, theirs):
        """As `same`; follows transactions, whose replies it compares one by one."""
        name = command[0].upper()
        if name not in ("EXEC", "DISCARD") or self.transaction is None:
            if self.transaction and self.transaction[1] and theirs != b"QUEUED":
                self.transaction[1].pop()
            return same(command, ours, theirs)
        queued = self.transaction[1]
        self.transaction = None
        if not isinstance(theirs, list) or not isinstance(ours, list) or len(ours) != len(theirs):
            return ours == theirs
        pairs = zip(queued, map(plain, ours), map(plain, theirs))
        return all(same(one, mine, other) for one, mine, other in pairs)

    def command(self, key, several=True):
        """A command about a key, or about several."""
        chance = self.chance
        value, number = chance.choice(VALUES), chance.choice(NUMBERS + NO_NUMBERS[:3])
        shapes = [self.set, self.set, self.set, self.expire, self.expire, self.getex, self.eval]
        if chance.random() < 0.4:
            command = chance.choice(shapes)(key, value)
        else:
            command = chance.choice([
                ["GET", key], ["GETSET", key, value], ["GETDEL", key], ["SETNX", key, value],
                ["SETEX", key, self.seconds(), value], ["PSETEX", key, self.seconds() + "000", value],
                ["APPEND", key, chance.choice(VALUES)], ["STRLEN", key],
                ["SETRANGE", key, chance.choice(["0", "3", "20", "-1", "x", "600000000"]), value],
                [chance.choice(["GETRANGE", "SUBSTR"]), key, self.index(), self.index()],
                ["INCR", key], ["DECR", key], ["INCRBY", key, number], ["DECRBY", key, number],
                ["INCRBYFLOAT", key, chance.choice([*NUMBERS, "0.1", "-1.5", "1e10", "5.0e3", "abc", "nan", "inf"])],
                ["TTL", key], ["PTTL", key], ["EXPIRETIME", key], ["PEXPIRETIME", key], ["PERSIST", key],
                ["TYPE", key], ["TOUCH", key], ["EXISTS", key, key], ["DEL", key], ["UNLINK", key],
                ["OBJECT", "ENCODING", key], ["MGET", key], ["MSET", key, value], ["MSETNX", key, value],
                ["LCS", key, key, "LEN"], ["ECHO", value], ["PING"], ["SELECT", "0"], ["NOPE", key, value],
                *([["MGET", *self.keys], ["MSET", key, value, self.keys[0], "last"], ["DEL", *self.keys],
                   ["EXISTS", *self.keys], ["KEYS", "differential:*"], ["COPY", key, chance.choice(self.keys)],
                   ["COPY", key, chance.choice(self.keys), "REPLACE"], ["LCS", key, chance.choice(self.keys)]]
                  if several else []),
            ])
        if chance.random() < 0.03 and command[0] != "PING":
            command = command[:-1]
        if chance.random() < 0.02:
            command = [*command, chance.choice(["", "NX", "extra"])]
        return [command[0].lower(), *command[1:]] if chance.random() < 0.2 else command

    def seconds(self):
        """How long until a deadline: far away, and not twice the same, so that its order among others is certain."""
        return str(self.deadlines.pop())

    def index(self):
        return self.chance.choice(["0", "1", "-1", "-3", "5", "100", "-100", "9223372036854775807", "x"])

    def deadline(self):
        """An option for a deadline."""
        kind = self.chance.choice(["EX", "PX", "EXAT", "PXAT"])
        if self.chance.random() < 0.15:
            return [kind, self.chance.choice(["0", "-1", "abc", "", "9223372036854775807", "1.5"])]
        seconds = self.seconds()
        if kind.endswith("AT"):
            # Of the past now and then, so that the key is gone at once.
            seconds = "1000" if self.chance.random() < 0.1 else str(2_000_000_000 + int(seconds))
        return [kind, seconds if kind.startswith("EX") else seconds + "000"]

    def options(self, choices, most):
        """Some options, each maybe with others that it does not go with."""
        drawn = [option for _ in range(self.chance.choice(most)) for option in self.chance.choice(choices)()]
        return [option.lower() if self.chance.random() < 0.1 else option for option in drawn]

    def set(self, key, value):
        plain_options = [lambda one=one: [one] for one in ("NX", "XX", "GET", "KEEPTTL", "WHAT")]
        return ["SET", key, value, *self.options([*plain_options[:4], self.deadline, self.deadline, *plain_options], [0, 1, 1, 2, 3])]

    def getex(self, key, _):
        return ["GETEX", key, *self.options([self.deadline, lambda: ["PERSIST"], lambda: ["NX"]], [0, 1, 1, 1, 2])]

    def expire(self, key, _):
        name, time = self.chance.choice([("EXPIRE", "EX"), ("PEXPIRE", "PX"), ("EXPIREAT", "EXAT"), ("PEXPIREAT", "PXAT")])
        while (drawn := self.deadline())[0] != time:
            pass
        return [name, key, drawn[1], *self.options([lambda one=one: [one] for one in ("NX", "XX", "GT", "LT", "WHAT")], [0, 1, 1, 2])]

    def eval(self, key, value):
        return [self.chance.choice(["EVAL", "EVAL", "EVAL_RO"]), self.chance.choice(SCRIPTS), "1", key, value]


def plain(reply):
    """An error in the reply of a transaction as text, as elsewhere."""
    return f"{type(reply).__name__}: {reply}" if isinstance(reply, Exception) else reply
