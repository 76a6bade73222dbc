"""The console on a real (pseudo) terminal: how it ends, what it writes, what it leaves behind."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path

import psutil
import pytest
from pty_session import PtySession

pytestmark = pytest.mark.pty


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


def opened(home: Path, size: tuple[int, int] = (80, 24), **environ: str) -> PtySession:
    session = PtySession(home, size, **environ)
    session.wait_for("quit")
    return session


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)], ids=str
)
def test_a_signal_drains_and_restores_the_terminal(home: Path, number: signal.Signals, code: int) -> None:
    with opened(home) as session:
        session.process.send_signal(number)
        assert session.end() == code
        session.wait(lambda: session.restored, "restored terminal")
        assert session.journal.startswith("drained")
        session.wait_for("Sent 312 events.")


@pytest.mark.parametrize(("keys", "code"), [("\x03", 130), ("q", 0)], ids=["ctrl+c", "q"])
def test_a_key_leaves(home: Path, keys: str, code: int) -> None:
    with opened(home) as session:
        session.press(keys)
        assert session.end() == code
        session.wait(lambda: session.restored, "restored terminal")
        assert session.journal.startswith("drained")


def test_ctrl_c_leaves_from_a_dialog_and_from_a_field(home: Path) -> None:
    with opened(home) as session:
        session.press("n")
        session.wait_for("One event")
        session.press("\x03")
        assert session.end() == 130


def test_a_dropped_line_drains(home: Path) -> None:
    with opened(home) as session:
        session.hang_up()
        assert session.end() == 129
        assert session.journal.startswith("drained")


def test_a_drain_that_loses_an_event_is_exit_1(home: Path) -> None:
    with opened(home, CHILD_LOSES="1") as session:
        session.process.send_signal(signal.SIGTERM)
        assert session.end() == 1
        session.wait_for("Lost 1 event")


def test_a_stalled_line_holds_neither_the_engine_nor_the_end(home: Path) -> None:
    with opened(home, CHILD_BUSY="1") as session:
        session.reading.clear()
        session.press("1")  # wakes a read that is under way
        for step in range(60):  # whole repaints, until nobody takes them any more
            session.resize(100 + step, 40)
            time.sleep(0.02)
        started = time.monotonic()
        session.process.send_signal(signal.SIGTERM)
        assert session.end(8) == 143
        assert time.monotonic() - started < 6
        beats = int(session.journal.split("beats=")[1])
        assert beats > 100  # its thread ran on, ten milliseconds a beat


def test_native_noise_goes_to_the_log(home: Path) -> None:
    with opened(home, CHILD_NOISE="1") as session:
        log = home / "console.log"
        session.wait(lambda: log.exists() and b"NATIVE-NOISE" in log.read_bytes(), "noise in the log")
        session.press("q")
        assert session.end() == 0
        assert b"NATIVE-NOISE" not in session.raw
        assert log.stat().st_mode & 0o777 == 0o600


def test_a_fault_of_the_screen_shows_no_payload_and_drains(home: Path) -> None:
    with opened(home, CHILD_CRASH="1") as session:
        assert session.end() == 1
        session.wait(lambda: session.restored, "restored terminal")
        session.wait_for("The screen failed: a fault of ours. The traceback is in")
        session.wait_for("Sent 312 events.")
        assert session.journal.startswith("drained")
        assert b"Traceback" not in session.raw
        assert b"SECRET-PAYLOAD" not in session.raw
    log = (home / "console.log").read_text()
    assert "the screen failed" in log
    assert "builtins.ValueError" in log
    assert "in snapshot" in log or "snapshot:" in log
    assert "SECRET-PAYLOAD" not in log


def test_no_control_character_of_a_payload_reaches_the_terminal(home: Path) -> None:
    with opened(home, (120, 40), CHILD_HOSTILE="1", CHILD_LETTERS="1") as session:
        session.wait_for("␛]52;c;")
        session.press("2")
        session.wait_for("needs a look")
        session.press("/class=unknown\r")
        session.wait_for("3 of 1,284 records")
        session.press("\r")
        session.wait_for("newest first")
        session.press("\r")
        session.wait_for("[Why]")
        session.wait_for("␛]52;c;")
        session.press("q")
        assert session.end() == 0
        raw = bytes(session.raw)
        for attack in (b"\x1b]52", b"\x1b[2J", b"cHduZWQ=\x07", "\x9b".encode(), "\u202e".encode(), "\u200b".encode()):
            assert attack not in raw, attack
        assert b"[/nope]" in raw  # shown as it is, not taken for markup


def test_a_burst_of_keys_goes_where_the_first_one_led(home: Path) -> None:
    with opened(home, CHILD_LETTERS="1") as session:
        session.press("2")
        session.wait_for("207 records")
        session.press("/class=poison\r")
        session.wait_for("58 of 1,284 records")
        session.press(":theme mono\r")
        session.wait_for("Changed the theme to mono.")
        session.press("q")
        assert session.end() == 0


def test_keys_behind_enter_and_a_rooms_key_go_where_those_led(home: Path) -> None:
    with opened(home, CHILD_LETTERS="1") as session:
        session.press(":rate 2\r2/nothing\r:theme mono\r?")
        session.wait_for("esc closes")
        session.press("\x1b")
        session.wait_for("Nothing matches nothing.")
        session.wait_for("Changed the theme to mono.")
        session.press(":rate 1\rq")
        assert session.end() == 0


def test_no_color_writes_no_colour(home: Path) -> None:
    with opened(home, NO_COLOR="1", CHILD_LETTERS="1") as session:
        session.press("2")
        session.wait_for("needs a look")
        session.press("q")
        assert session.end() == 0
        codes = {code for group in re.findall(rb"\x1b\[([\d;]*)m", bytes(session.raw)) for code in group.split(b";")}
        colours = {c for c in codes if c and (30 <= int(c) <= 38 or 40 <= int(c) <= 48 or 90 <= int(c) <= 107)}
        assert not colours


def test_sixteen_colours_on_the_linux_console(home: Path) -> None:
    with opened(home, TERM="linux") as session:
        session.press("q")
        assert session.end() == 0
        assert b"38;2" not in session.raw
        assert b"38;5" not in session.raw


def test_only_ascii_without_utf8(home: Path) -> None:
    with opened(home, LC_ALL="C", LANG="C", CHILD_HOSTILE="1") as session:
        session.press("?")
        session.wait_for("esc closes")
        session.press("\x1b")
        session.wait(lambda: "esc closes" not in session.text(), "closed help")
        session.press("q")
        assert session.end() == 0
        assert bytes(session.raw).split(b"\nSent")[0].isascii()


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_terminal_that_cannot_draw_gets_a_sentence(home: Path, term: str) -> None:
    with PtySession(home, TERM=term) as session:
        assert session.end() == 2
        session.wait_for("cannot draw a screen")
        assert b"\x1b[?1049h" not in session.raw


def test_a_storm_of_resizes(home: Path) -> None:
    with opened(home) as session:
        for step in range(40):
            session.resize(60 + step * 3 % 90, 10 + step * 7 % 40)
        session.resize(120, 40)
        session.wait(lambda: session.text().splitlines()[-1].strip().endswith("quit"), "footer in the last line")
        session.press("q")
        assert session.end() == 0


def test_bytes_a_look_stay_few(home: Path) -> None:
    with opened(home, (120, 40), CHILD_BUSY="1") as session:
        start = session.text().splitlines()[0]
        session.wait(lambda: session.text().splitlines()[0] != start, "a moving clock")
        before, clock = len(session.raw), session.text().splitlines()[0]
        seen = {clock}
        while len(seen) < 5:  # four seconds by the screen's own clock
            session.wait(lambda: session.text().splitlines()[0] not in seen, "the next second")
            seen.add(session.text().splitlines()[0])
        assert (len(session.raw) - before) / 4 < 8192


def test_suspend_and_resume_while_nothing_is_in_flight(home: Path) -> None:
    with opened(home, CHILD_IDLE="1") as session:
        process = psutil.Process(session.process.pid)
        session.press("\x1a")
        session.wait(lambda: process.status() == psutil.STATUS_STOPPED, "a stopped process")
        session.wait(lambda: session.restored, "the shell's terminal")
        seen = len(session.raw)
        process.send_signal(signal.SIGCONT)
        session.wait(lambda: b"PRODUCER" in session.raw[seen:], "the screen again")
        session.press("q")
        assert session.end() == 0
        session.wait(lambda: session.restored, "restored terminal")


def test_the_mouse_stays_the_terminals(home: Path) -> None:
    with opened(home) as session:
        session.press("q")
        assert session.end() == 0
        assert b"\x1b[?1000h" not in session.raw
        assert b"\x1b[?1003h" not in session.raw


def test_suspend_is_refused_while_events_are_in_flight(home: Path) -> None:
    with opened(home) as session:
        session.press("\x1a")
        session.wait_for("Did not suspend: 10,516 events are in flight")
        session.press("q")
        assert session.end() == 0
