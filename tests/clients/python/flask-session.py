"""Flask-Session: a session is stored, read, changed, expired and ended."""

from datetime import timedelta

import redis
from flask import Flask, session
from flask_session import Session
from server import URL, eventually

app = Flask(__name__)
r = redis.from_url(URL)
app.config.update(SESSION_TYPE="redis", SESSION_REDIS=r, SESSION_KEY_PREFIX="flask:", SESSION_PERMANENT=True)
Session(app)


@app.route("/visit")
def visit():
    session["visits"] = session.get("visits", 0) + 1
    return str(session["visits"])


@app.route("/leave")
def leave():
    session.clear()
    return "left"


def visits(client):
    return int(client.get("/visit").text)


# Two browsers, each with a session of its own.
one, two = app.test_client(), app.test_client()
assert [visits(one), visits(one), visits(two), visits(one)] == [1, 2, 1, 3]
(key, _) = r.scan_iter(match="flask:*")
assert r.ttl(key) > 3600

one.get("/leave")
assert visits(one) == 1 and visits(two) == 2

# A session that nobody uses ends.
app.config["PERMANENT_SESSION_LIFETIME"] = timedelta(seconds=1)
assert visits(two) == 3
eventually(lambda: len(list(r.scan_iter(match="flask:*"))) == 1)
assert visits(two) == 1
