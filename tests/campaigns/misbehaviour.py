"""Ways to answer one request wrongly. A `Random` says where and how much."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from tests.integration.faults import Exchange

Misbehave = Callable[[Exchange, Random], None]

_HTML = b"<!doctype html><title>Log in</title>"
_TRICKLE_BYTES = 3
_TRICKLE_SECONDS = 0.3


def resets(exchange: Exchange, chance: Random) -> None:
    """The connection is reset at some byte of the body."""
    answer = exchange.fetched()
    exchange.begin(answer.status, answer.headers, len(answer.body))
    exchange.wfile.write(answer.body[: chance.randrange(len(answer.body))])
    exchange.reset()


def cuts(exchange: Exchange, chance: Random) -> None:
    """The connection is closed at some byte, of a body whose length was stated."""
    answer = exchange.fetched()
    exchange.begin(answer.status, answer.headers, len(answer.body))
    exchange.wfile.write(answer.body[: chance.randrange(len(answer.body))])
    exchange.close_connection = True


def cuts_late(exchange: Exchange, chance: Random) -> None:
    """The connection is closed in the second half of the body."""
    answer = exchange.fetched()
    length = len(answer.body)
    exchange.begin(answer.status, answer.headers, length)
    exchange.wfile.write(answer.body[: chance.randrange(length // 2, length)])
    exchange.close_connection = True


def cuts_unstated(exchange: Exchange, chance: Random) -> None:
    """The same where no length was stated: only the digest can tell."""
    answer = exchange.fetched()
    exchange.begin(answer.status, answer.headers, None)
    exchange.wfile.write(answer.body[: chance.randrange(len(answer.body))])


def ends_early(exchange: Exchange, chance: Random) -> None:
    """A proper end in chunks, too early, on a connection that stays."""
    answer = exchange.fetched()
    sent = answer.body[: chance.randrange(1, len(answer.body))]
    exchange.send_response_only(answer.status)
    for name, value in {**answer.headers, "Transfer-Encoding": "chunked"}.items():
        exchange.send_header(name, value)
    exchange.end_headers()
    exchange.wfile.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(sent), sent))


def flips(exchange: Exchange, chance: Random) -> None:
    """One bit of the body is another."""
    answer = exchange.fetched()
    body = bytearray(answer.body)
    body[chance.randrange(len(body))] ^= 1 << chance.randrange(8)
    exchange.answer(answer.status, answer.headers, bytes(body))


def states_more(exchange: Exchange, chance: Random) -> None:
    """The stated length is too large, and the connection ends after the body."""
    answer = exchange.fetched()
    length = len(answer.body) + chance.randrange(1, 100_000)
    exchange.begin(answer.status, answer.headers, length)
    exchange.wfile.write(answer.body)
    exchange.close_connection = True


def states_less(exchange: Exchange, chance: Random) -> None:
    """The stated length is too small; the rest may come all the same, where no answer is due."""
    answer = exchange.fetched()
    length = chance.randrange(len(answer.body))
    exchange.begin(answer.status, answer.headers, length)
    exchange.wfile.write(chance.choice([answer.body, answer.body[:length]]))


def trickles(exchange: Exchange, chance: Random) -> None:
    """A few bytes a second come after some beginning, until the client hangs up."""
    answer = exchange.fetched()
    exchange.begin(answer.status, answer.headers, len(answer.body))
    position = chance.choice([0, chance.randrange(len(answer.body))])
    exchange.wfile.write(answer.body[:position])
    while position < len(answer.body) and not exchange.hung_up(_TRICKLE_SECONDS):
        exchange.wfile.write(answer.body[position : position + _TRICKLE_BYTES])
        position += _TRICKLE_BYTES


def stalls(exchange: Exchange, chance: Random) -> None:
    """Nothing comes any more: before the head, after it, or within the body."""
    answer = exchange.fetched()
    if chance.random() < 2 / 3:
        exchange.begin(answer.status, answer.headers, len(answer.body))
        exchange.wfile.write(answer.body[: chance.choice([0, chance.randrange(len(answer.body))])])
    exchange.hung_up()
    exchange.close_connection = True


def limits(exchange: Exchange, chance: Random) -> None:
    """429, with or without a word about when to come again."""
    exchange.answer(429, chance.choice([{}, {"Retry-After": "0"}, {"Retry-After": "1"}]))


def fails(exchange: Exchange, chance: Random) -> None:
    """The server, or one before it, has a fault of its own."""
    exchange.answer(chance.choice([500, 502, 503, 504]))


def is_html(exchange: Exchange, chance: Random) -> None:
    """A page for people, with status 200."""
    exchange.answer(200, {"Content-Type": "text/html"}, _HTML)


def is_absent(exchange: Exchange, chance: Random) -> None:
    """There is no such thing here."""
    exchange.answer(404)


def forbids(exchange: Exchange, chance: Random) -> None:
    """Credentials are refused."""
    exchange.answer(403)


def redirects_to_itself(exchange: Exchange, chance: Random) -> None:
    """The answer is at the address that was asked."""
    exchange.answer(307, {"Location": exchange.request_seen.path})


def ignores_range(exchange: Exchange, chance: Random) -> None:
    """The whole body comes, whatever range was asked for."""
    answer = exchange.fetched(but="range")
    exchange.answer(answer.status, answer.headers, answer.body)


def states_another_range(exchange: Exchange, chance: Random) -> None:
    """206, with bytes from elsewhere, and it says so."""
    answer = exchange.fetched(but="range")
    start = chance.randrange(len(answer.body))
    stated = {"Content-Range": f"bytes {start}-{len(answer.body) - 1}/{len(answer.body)}"}
    exchange.answer(206, {**answer.headers, **stated}, answer.body[start:])


def serves_another_range(exchange: Exchange, chance: Random) -> None:
    """206, with bytes from elsewhere, and it does not say so."""
    answer, whole = exchange.fetched(), exchange.fetched(but="range").body
    start = chance.randrange(len(whole) - len(answer.body) + 1)
    exchange.answer(206, answer.headers, whole[start : start + len(answer.body)])


def knows_no_such_range(exchange: Exchange, chance: Random) -> None:
    """416, as if the blob were shorter than what is here already."""
    exchange.answer(416)
