"""Where this program keeps things, by the XDG rules; what is kept is for its owner only."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from atom_console.config.model import Settings

_APP = "atom-console"


def config_dir() -> Path:
    """`~/.config/atom-console`, or as XDG_CONFIG_HOME says: `config.toml`, `themes/`, `keymap.toml`."""
    from platformdirs import user_config_path

    return user_config_path(_APP)


def config_file() -> Path:
    """The configuration file that is read when none is named."""
    return config_dir() / "config.toml"


def state_dir() -> Path:
    """`~/.local/state/atom-console`, or as XDG_STATE_HOME says."""
    from platformdirs import user_state_path

    return user_state_path(_APP)


def dlq_dir(settings: Settings) -> Path:
    """The directory of the DLQ store: one a profile, so that clusters never mix."""
    return settings.dlq.dir or state_dir() / "dlq" / settings.profile


def pki_dir(settings: Settings) -> Path:
    """The directory of the certificate authority."""
    return settings.pki.dir or state_dir() / "pki"


def log_file(settings: Settings) -> Path:
    """The structured log."""
    return settings.log_file or default_log_file()


def default_log_file() -> Path:
    """The structured log where no setting names one."""
    return state_dir() / "log" / f"{_APP}.log"


def ensure_private(directory: Path) -> Path:
    """Makes a directory, and what is missing above it, 0700 whatever the umask.

    An existing directory is left as it is.

    Raises:
        OSError: it cannot be made, or is not a directory.
    """
    missing = []
    place = directory
    while not place.exists():
        missing.append(place)
        place = place.parent
    for place in reversed(missing):
        try:
            place.mkdir(mode=0o700)
        except FileExistsError:
            continue
        place.chmod(0o700)
    if not directory.is_dir():
        raise NotADirectoryError(20, os.strerror(20), str(directory))
    return directory
