"""Adapters for the dead letters of other systems: pure functions from a Kafka record to what it says.

`decode(letter, context)` reads any of them; `strip(headers)` takes the frameworks' headers off before a replay.
"""

from atom_console.dlq.adapters.decode import decode
from atom_console.dlq.adapters.header_map import HeaderMapError, load_context
from atom_console.dlq.adapters.letter import Context, Letter, Reading
from atom_console.dlq.adapters.strip import strip

__all__ = ["Context", "HeaderMapError", "Letter", "Reading", "decode", "load_context", "strip"]
