"""Which record may be sent next: at most one of a (topic, key) on its way, or all in order, and which keys are blocked.

`strict`: a record follows when the one before it was acknowledged; a failure blocks the rest of its key. `partition`:
everything is handed over in order; a failure blocks what was not handed over yet.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from atom_console.dlq.replay.items import ChainKey, Item
from atom_console.dlq.replay.options import Order


class Chains:
    """For one thread.

    Attributes:
        runnable: items that may be sent now, in order.
        blocked: keys of which nothing more is sent.
    """

    def __init__(self, order: Order, blocked: Iterable[ChainKey] = ()) -> None:
        self.runnable: deque[Item] = deque()
        self.blocked: set[ChainKey] = set(blocked)
        self._strict = order == "strict"
        # A key that is here has one record on its way; None while no other waits for it.
        self._waiting: dict[ChainKey, deque[Item] | None] = {}

    def add(self, items: Iterable[Item]) -> list[Item]:
        """Take the items of a window; those whose key is blocked come back."""
        refused: list[Item] = []
        waiting, runnable, blocked = self._waiting, self.runnable, self.blocked
        for item in items:
            chain = item.chain
            if chain is None:
                runnable.append(item)
            elif chain in blocked:
                refused.append(item)
            elif not self._strict:
                runnable.append(item)
            elif chain not in waiting:
                waiting[chain] = None
                runnable.append(item)
            elif (queue := waiting[chain]) is None:
                waiting[chain] = deque((item,))
            else:
                queue.append(item)
        return refused

    def acknowledged(self, items: Iterable[Item]) -> None:
        """These arrived: the next of each key may go."""
        if not self._strict:
            return
        waiting, runnable = self._waiting, self.runnable
        for item in items:
            chain = item.chain
            if chain is None:
                continue
            queue = waiting.get(chain)
            if queue:
                runnable.append(queue.popleft())
            else:
                waiting.pop(chain, None)

    def block(self, item: Item) -> list[Item]:
        """This one did not arrive: nothing more of its key; the items that are left behind."""
        chain = item.chain
        if chain is None:
            return []
        self.blocked.add(chain)
        behind = list(self._waiting.pop(chain, None) or ())
        if any(one.chain == chain for one in self.runnable):
            behind += [one for one in self.runnable if one.chain == chain]
            self.runnable = deque(one for one in self.runnable if one.chain != chain)
        return behind

    def drop(self) -> list[Item]:
        """Everything that was not sent; nothing more is runnable."""
        left = [*self.runnable, *(item for queue in self._waiting.values() for item in queue or ())]
        self.runnable.clear()
        self._waiting = dict.fromkeys(self._waiting)
        return left
