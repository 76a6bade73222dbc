"""Makes and keeps `Trouble` objects, so that a million records of one outage share one."""

from __future__ import annotations

from functools import lru_cache

from atom_console.dlq.fingerprint import fingerprint, label
from atom_console.dlq.record import Trouble
from atom_console.dlq.text import storable, storable_or_none


@lru_cache(maxsize=4096)
def trouble(
    *,
    origin: str,
    err_class: str,
    err_name: str,
    message: str,
    stage: str,
    component: str,
    err_code: int | None = None,
    dest_topic: str | None = None,
    cluster_id: str | None = None,
    dlq_topic: str | None = None,
    cause: str | None = None,
    frames: tuple[str, ...] = (),
) -> Trouble:
    """The trouble with its fingerprint and label; the same object for the same arguments while it is remembered.

    Args:
        origin: an `Origin`.
        err_class: an `ErrorClass` of the delivery errors.
        err_name: name of the code, or class of the exception.
        message: what was said, foreign text.
        cause: class of the innermost cause, where a framework reported an exception: it groups in place of the code.
        frames: stack frames, innermost first.
    """
    said, topic = storable(message), storable_or_none(dest_topic)
    return Trouble(
        origin=str(origin),
        err_class=str(err_class),
        err_code=err_code,
        err_name=storable(err_name),
        message=said,
        stage=stage,
        component=storable(component),
        dest_topic=topic,
        cluster_id=cluster_id,
        dlq_topic=storable_or_none(dlq_topic),
        fingerprint=fingerprint(
            origin=str(origin),
            err_class=str(err_class),
            code=cause or (err_name if err_code is None else err_code),
            topic=topic,
            stage=stage,
            frames=frames,
            message=said,
        ),
        label=label(origin=str(origin), err_name=err_name, code=err_code, topic=topic, message=said),
    )
