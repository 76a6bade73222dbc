"""How a command that changes many records is confirmed: a question on a terminal, options in a script."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def confirm_options(function: F) -> F:
    """`--yes` and `--confirm N`."""
    function = click.option("--confirm", type=int, metavar="N", help="The number itself, where it must be typed.")(
        function
    )
    return click.option("--yes", is_flag=True, help="Do not ask; not enough where the number must be typed.")(function)


def confirmed_count(count: int, what: str, typed: bool, yes: bool, confirm: int | None) -> int | None:
    """The number that was confirmed, or None.

    Args:
        count: of what is to be done; what: it in words, e.g. `send 12 events`.
        typed: the number itself must be typed.
        yes, confirm: the options.

    Raises:
        click.Abort: the question was answered with anything else than yes.
    """
    if confirm is not None:
        return confirm
    if typed:
        if not sys.stdin.isatty():
            return None
        return int(click.prompt(f"Type the number to {what}", type=int, err=True))
    if yes:
        return count
    if not sys.stdin.isatty():
        return None
    click.confirm(f"Really {what}?", abort=True, err=True)
    return count
