"""The kinds of faults, and what a run with one of them may come to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from airgap.errors import ExitCode
from tests.campaigns import misbehaviour as wrong
from tests.campaigns.misbehaviour import Misbehave
from tests.campaigns.trouble import ALWAYS, Outage, Revoked, Trouble
from tests.integration.faults import Exchange, FaultProxy, Request
from tests.integration.tokens import Tokens

HOST = "lab.invalid"
"""Whose images are bundled; that name leads nowhere (RFC 2606)."""


@dataclass(frozen=True, slots=True)
class Site:
    """What a run fetches from.

    Attributes:
        near: Asked first, or alone.
        far: A mirror asked after it, or where it sends to.
        layers: Digests of the large blobs.
        blobs: Digests of all blobs.
        manifests: The tag, and digests of manifests that are asked for.
    """

    near: FaultProxy
    far: FaultProxy
    layers: Sequence[str]
    blobs: Sequence[str]
    manifests: Sequence[str]

    @property
    def targets(self) -> list[str]:
        """All that is asked for."""
        return [*self.manifests, *self.blobs]

    def alone(self) -> str:
        """A registries file in which `near` stands for the host."""
        return f'[registry."{HOST}"]\nreplace = "{self.near.address}"\n{self._plain()}'

    def mirrored(self) -> str:
        """A registries file with two mirrors: `near` first, then `far`."""
        mirrors = f'["{self.near.address}", "{self.far.address}"]'
        return f'[registry."{HOST}"]\nmirrors = {mirrors}\n{self._plain()}'

    def _plain(self) -> str:
        return "".join(
            f'[registry."{proxy.address}"]\nhttp = true\n' for proxy in (self.near, self.far)
        )


@dataclass(frozen=True, slots=True)
class Armed:
    """Faults in their place.

    Attributes:
        registries: The registries file.
        fired: How often they did anything.
        passes: They end by themselves after a few requests.
        check: Asserts what else must hold after the first run.
        end: Stops what runs beside the requests.
    """

    registries: str
    fired: Callable[[], int]
    passes: bool = False
    check: Callable[[], None] = lambda: None
    end: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault.

    Attributes:
        arm: Puts it in place, with a choice of its details.
        codes: Exit codes beside 0 that it may lead to.
        heals: One that passes by itself leads to 0.
        image_set: The only one that it is for, or empty.
    """

    arm: Callable[[Site, Random], Armed]
    codes: frozenset[ExitCode] = frozenset()
    heals: bool = True
    image_set: str = ""


_UPSTREAM = frozenset({ExitCode.UPSTREAM})
_INTEGRITY = frozenset({ExitCode.INTEGRITY})


Pick = Callable[[Site, Random], Sequence[str]]


def _few(among: Sequence[str], chance: Random) -> list[str]:
    return chance.sample(among, min(len(among), chance.randrange(1, 4)))


def _any(site: Site, chance: Random) -> list[str]:
    """A few layers, or a few of all that is asked for."""
    return _few(site.layers if chance.random() < 0.7 else site.targets, chance)


def _blobs(site: Site, chance: Random) -> list[str]:
    return _few(site.blobs, chance)


def _manifests(site: Site, chance: Random) -> list[str]:
    return _few(site.manifests, chance)


def _answers(
    misbehave: Misbehave, pick: Pick = _any, often: Sequence[int] = (1, 1, 2, ALWAYS)
) -> Callable[[Site, Random], Armed]:
    """Wrong answers to a few requests."""

    def arm(site: Site, chance: Random) -> Armed:
        times, seed = chance.choice(often), chance.random().hex()
        trouble = Trouble(misbehave, pick(site, chance), seed=seed, times=times)
        site.near.fault = trouble
        return Armed(site.alone(), lambda: trouble.fired, passes=times != ALWAYS)

    return arm


def _resumed(misbehave: Misbehave) -> Callable[[Site, Random], Armed]:
    """Wrong answers to requests for the rest of a layer that broke off."""

    def arm(site: Site, chance: Random) -> Armed:
        victims, times = chance.sample(site.layers, 2), chance.choice([1, 2, ALWAYS])
        seed = chance.random().hex()
        first = Trouble(wrong.cuts_late, victims, seed=seed, times=1)
        then = Trouble(misbehave, victims, seed=seed, times=times, when=_is_rest)
        site.near.fault = lambda exchange: then(exchange) or first(exchange)
        return Armed(site.alone(), lambda: then.fired, passes=times != ALWAYS)

    return arm


def _is_rest(request: Request) -> bool:
    return "range" in request.headers


def _revoked(site: Site, chance: Random) -> Armed:
    """401 for a few requests; for some of them after their blob broke off."""
    victims, times = _any(site, chance), chance.choice([1, 1, 1, ALWAYS])
    broken = chance.sample(victims, chance.randrange(len(victims) + 1))
    breaks = Trouble(wrong.cuts_late, broken, seed=chance.random().hex(), times=1)
    revoked = Revoked(victims, times)
    site.near.fault = lambda exchange: breaks(exchange) or revoked(exchange)
    return Armed(site.alone(), lambda: revoked.fired, passes=times != ALWAYS)


def _expiring(site: Site, chance: Random) -> Armed:
    """Tokens that are good for a few requests only."""
    tokens = Tokens(uses=chance.randrange(8, 11))
    site.near.fault = tokens
    return Armed(site.alone(), lambda: tokens.given - 1, passes=True)


def _no_tokens(site: Site, chance: Random) -> Armed:
    """The token server has a fault of its own."""
    tokens, times = Tokens(), chance.choice([1, 2, ALWAYS])
    misbehave = chance.choice([wrong.fails, wrong.limits])
    trouble = Trouble(misbehave, seed=chance.random().hex(), times=times, when=_is_for_token)
    site.near.fault = lambda exchange: trouble(exchange) or tokens(exchange)
    return Armed(site.alone(), lambda: trouble.fired, passes=times != ALWAYS)


def _is_for_token(request: Request) -> bool:
    return request.path.startswith("/token")


def _outage(site: Site, chance: Random) -> Armed:
    """The server goes away, and comes back after a moment or not before the run has ended."""
    after = chance.randrange(len(site.targets))
    passes = chance.random() < 0.7
    outage = Outage(site.near, after, chance.uniform(0.1, 1.0) if passes else 3600)
    site.near.fault = outage
    return Armed(site.alone(), lambda: outage.fired, passes=passes, end=outage.end)


def _elsewhere(site: Site, chance: Random) -> Armed:
    """Blobs are at another server, which may break off and must not see the token."""
    tokens, sent = Tokens(), Trouble(_sends_to(site.far), site.layers, seed="")
    broken = chance.sample(site.layers, chance.randrange(2))
    site.far.fault = Trouble(wrong.cuts, broken, seed=chance.random().hex(), times=2)
    site.near.fault = lambda exchange: tokens(exchange) or sent(exchange)

    def check() -> None:
        assert site.far.requests, "the other server was not asked"
        told = [each for each in site.far.requests if "authorization" in each.headers]
        assert not told, f"the other server was told a token: {told[0]}"

    return Armed(site.alone(), lambda: sent.fired, passes=True, check=check)


def _sends_to(other: FaultProxy) -> Misbehave:
    def sends(exchange: Exchange, _: Random) -> None:
        address = f"http://{other.address}{exchange.request_seen.path}"
        exchange.answer(307, {"Location": address})

    return sends


def _first_mirror(*ways: Misbehave) -> Callable[[Site, Random], Armed]:
    """Of two mirrors the one that is asked first is always wrong, at some or all that it has."""

    def arm(site: Site, chance: Random) -> Armed:
        victims = chance.choice([site.targets, site.layers, _any(site, chance)])
        trouble = Trouble(chance.choice(ways), victims, seed=chance.random().hex())
        site.near.fault = trouble
        return Armed(site.mirrored(), lambda: trouble.fired, passes=True)

    return arm


KINDS = {
    "reset at a random byte": Kind(_answers(wrong.resets), _UPSTREAM),
    "closed at a random byte": Kind(_answers(wrong.cuts), _UPSTREAM),
    "closed, no length stated": Kind(_answers(wrong.cuts_unstated, _blobs), _UPSTREAM),
    "chunks end early, connection stays": Kind(_answers(wrong.ends_early, _blobs), _UPSTREAM),
    "wrong bit in a blob": Kind(_answers(wrong.flips, _blobs), _INTEGRITY),
    "wrong bit in a manifest": Kind(_answers(wrong.flips, _manifests), _INTEGRITY),
    "manifest ends early": Kind(_answers(wrong.ends_early, _manifests), _INTEGRITY),
    "length too large": Kind(_answers(wrong.states_more), _UPSTREAM, heals=False),
    "length too small": Kind(_answers(wrong.states_less), _UPSTREAM | _INTEGRITY, heals=False),
    # Each try is as long as the time-out, and delivers too little to renew patience.
    "trickle": Kind(_answers(wrong.trickles, often=(1, 1, 2, ALWAYS)), _UPSTREAM, heals=False),
    "stall": Kind(_answers(wrong.stalls), _UPSTREAM),
    "401 in the middle": Kind(_revoked, frozenset({ExitCode.CREDENTIALS})),
    "tokens that expire": Kind(_expiring, image_set="many"),
    "token server fails": Kind(_no_tokens, _UPSTREAM),
    "429": Kind(_answers(wrong.limits), _UPSTREAM),
    "500, 502, 503, 504": Kind(_answers(wrong.fails), _UPSTREAM),
    "redirect loop": Kind(
        _answers(wrong.redirects_to_itself, often=(40, ALWAYS)), _UPSTREAM, heals=False
    ),
    "redirect to another server": Kind(_elsewhere),
    "connection refused": Kind(_outage, _UPSTREAM),
    "range ignored": Kind(_resumed(wrong.ignores_range)),
    "206 for another range": Kind(_resumed(wrong.states_another_range)),
    "206 with other bytes": Kind(_resumed(wrong.serves_another_range)),
    "416": Kind(_resumed(wrong.knows_no_such_range)),
    "slow mirror beside a fast one": Kind(_first_mirror(wrong.trickles, wrong.stalls)),
    "broken mirror beside a good one": Kind(
        _first_mirror(
            wrong.resets,
            wrong.cuts,
            wrong.flips,
            wrong.fails,
            wrong.limits,
            wrong.forbids,
            wrong.is_absent,
            wrong.is_html,
        )
    ),
}
"""Name to kind; runs take them in turn."""
