"""Where the files that ship beside the code are: inside the wheel, or at the top of an editable checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

_PACKAGE = Path(__file__).parent


def resource_dir(kind: Literal["schemas", "themes", "certs", "benchmarks"]) -> Path:
    """The directory of bundled `schemas`, `themes`, `certs` (profiles) or `benchmarks`.

    Raises:
        FileNotFoundError: the installation is damaged.
    """
    for candidate in (_PACKAGE / "_data" / kind, _PACKAGE.parent / kind):
        if candidate.is_dir():
            return candidate
    raise FileNotFoundError(f"the bundled directory {kind!r} is missing: install atom-console again")
