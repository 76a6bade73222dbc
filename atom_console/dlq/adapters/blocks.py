"""Contiguous blocks of a framework's headers.

A record may carry such headers more than once: one block a hop, or forged ones of its producer. Taking each name where
it comes first (or last) mixes the two; a block is one writing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Family:
    """Header names that one writer puts side by side, in its order; a block with all of `required` is complete.

    Attributes:
        any_order: other versions of the writer have another order.
    """

    names: tuple[str, ...]
    required: frozenset[str] = frozenset()
    any_order: bool = False
    rank: Mapping[str, int] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rank", {name: number for number, name in enumerate(self.names)})


def family(prefix: str, names: str, required: str = "", *, any_order: bool = False) -> Family:
    """`names` and `required` are suffixes, separated by blanks; without `required` any block is complete."""
    required_names = frozenset(prefix + name for name in required.split())
    return Family(tuple(prefix + name for name in names.split()), required_names, any_order)


@dataclass(frozen=True, slots=True)
class Block:
    """One writing: header name → index of the header. `start` is its first index, `stop` the one behind its last."""

    at: Mapping[str, int]
    start: int
    stop: int
    complete: bool


def find_blocks(names: Sequence[str], wanted: Family) -> tuple[Block, ...]:
    """The blocks of a family, in the order of the headers.

    A run of neighbours in the writer's order is a block; where any order will do, two runs side by side without a name
    in common are one block.
    """
    found: list[Block] = []
    run: dict[str, int] = {}
    last = -1
    for index, name in enumerate(names):
        rank = wanted.rank.get(name, -1)
        if run and rank <= last:
            _add(found, run, wanted)
            run = {}
        if rank >= 0:
            run[name] = index
        last = rank
    if run:
        _add(found, run, wanted)
    return tuple(found)


def _add(found: list[Block], run: dict[str, int], wanted: Family) -> None:
    at = dict(run)
    start, stop = min(at.values()), max(at.values()) + 1
    if wanted.any_order and found and found[-1].stop == start and not at.keys() & found[-1].at.keys():
        before = found.pop()
        at, start = {**before.at, **at}, before.start
    found.append(Block(at, start, stop, wanted.required <= at.keys()))
