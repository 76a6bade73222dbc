"""The child process that serves Flight: one JSON line with the address, then it serves until stdin ends."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from threading import Thread

from atom_console.errors import AtomError
from atom_console.flight.mdf import GeneratedPlan
from atom_console.flight.plans import Generated, Plan
from atom_console.flight.server import ReferenceServer, ServerOptions, ServerTls

REPEATING = ("q3-forecast", "ledger-1GB")
_PERIOD = 32
"""Batches after which a plan repeats: making them must not cost more than sending them."""


def demonstration_plans() -> dict[str, Plan]:
    """A plan as declared, one with a column more, a gigabyte, and an empty one."""
    # The server keeps the last 64 batches that it made: those of the two repeating plans.
    plans = (
        GeneratedPlan("q3-forecast", 500_000, period=_PERIOD),
        GeneratedPlan("headcount-2027", 48_112, seed=2, custom_dimensions=True),
        GeneratedPlan("ledger-1GB", 10_400_000, seed=3, period=_PERIOD),
        GeneratedPlan("draft", 0, seed=4),
    )
    return {plan.plan_id: Generated(plan) for plan in plans}


def main(chain: str = "", key: str = "", client_ca: str = "") -> int:
    """Serve on a free loopback port; with three PEM files over mutual TLS."""
    tls = ServerTls(*(Path(path).read_bytes() for path in (chain, key, client_ca))) if chain else None
    plans = demonstration_plans()
    listen = f"grpc{'+tls' if tls else ''}://127.0.0.1:0"
    options = ServerOptions(listen=listen, plans=(), extra=plans, endpoints=2, tls=tls)
    try:
        server = ReferenceServer(options)
    except AtomError as error:
        _say({"error": error.what, "next_step": error.next_step})
        return 1
    _say({"uri": server.uri})
    Thread(target=_warm, args=(plans,), name="warm", daemon=True).start()
    sys.stdin.read()
    server.stop(grace_s=0.2)
    return 0


def _warm(plans: dict[str, Plan]) -> None:
    """Make the repeating batches before they are asked for."""
    for name in REPEATING:
        for _ in plans[name].read(0, _PERIOD):
            pass


def _say(document: dict[str, str | None]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
