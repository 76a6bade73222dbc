"""The one table of commands: keys, palette, footer, help, command line and `docs/keys.md` all come from here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from textual.binding import Binding, BindingType

Scope = Literal[
    "everywhere",
    "list",
    "overview",
    "groups",
    "records",
    "detail",
    "flight",
    "schemas",
    "certificates",
    "certificate",
    "letters",
    "replay",
    "plan",
    "run",
    "runs",
]
Danger = Literal["none", "changes", "sends"]

SCOPES: dict[Scope, str] = {
    "everywhere": "Everywhere",
    "list": "In every list",
    "overview": "Overview",
    "groups": "Dead letters: groups",
    "records": "Dead letters: records",
    "detail": "Dead letters: one record",
    "letters": "Dead letters: what is done with them",
    "replay": "Dead letters: replays",
    "plan": "Dead letters: a plan",
    "run": "Dead letters: a run",
    "runs": "Dead letters: the runs",
    "flight": "Flight",
    "schemas": "Schemas",
    "certificates": "Certificates",
    "certificate": "Certificates: one page",
}

TOGETHER: dict[Scope, frozenset[Scope]] = {
    "everywhere": frozenset({"everywhere"}),
    "list": frozenset({"list", "everywhere"}),
    "overview": frozenset({"overview", "everywhere"}),
    "groups": frozenset({"groups", "letters", "replay", "list", "everywhere"}),
    "letters": frozenset({"letters", "replay", "list", "everywhere"}),
    "replay": frozenset({"replay", "list", "everywhere"}),
    "plan": frozenset({"plan", "replay", "list", "everywhere"}),
    "run": frozenset({"run", "replay", "list", "everywhere"}),
    "runs": frozenset({"runs", "replay", "list", "everywhere"}),
    "records": frozenset({"records", "letters", "replay", "list", "everywhere"}),
    "detail": frozenset({"detail", "letters", "replay", "list", "everywhere"}),
    "flight": frozenset({"flight", "list", "everywhere"}),
    "schemas": frozenset({"schemas", "list", "everywhere"}),
    "certificates": frozenset({"certificates", "list", "everywhere"}),
    "certificate": frozenset({"certificate", "certificates", "list", "everywhere"}),
}
"""For each scope those whose keys are alive at the same time, itself included."""


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """One thing that the operator can do.

    Attributes:
        id: `scope.verb`; it names the binding in a keymap file and the handler (`command_scope_verb`).
        keys: the default keys, in Textual's names; the first is the one that is shown.
        title: two or three words for footer and palette.
        help: one sentence for help, palette and docs.
        word: what is typed after `:`; None where only a key makes sense.
        argument: the name of what may follow the word, or None.
        danger: `changes` and `sends` are refused in a read-only profile, and always ask first.
        footer: shown in the last line while its scope has the focus.
    """

    id: str
    scope: Scope
    keys: tuple[str, ...]
    title: str
    help: str
    word: str | None = None
    argument: str | None = None
    danger: Danger = "none"
    footer: bool = False

    @property
    def handler(self) -> str:
        """The name of the method that does it."""
        return "command_" + self.id.replace(".", "_").replace("-", "_")


COMMANDS: tuple[CommandSpec, ...] = (
    CommandSpec("room.overview", "everywhere", ("1",), "Overview", "Is it flowing, is anything lost?", "overview"),
    CommandSpec(
        "room.dead-letters", "everywhere", ("2",), "Dead letters", "What broke, how much, whose?", "dead-letters"
    ),
    CommandSpec("room.flight", "everywhere", ("3",), "Flight", "What is offered, and how fast does it come?", "flight"),
    CommandSpec(
        "room.schemas", "everywhere", ("4",), "Schemas", "What is this, what changed, whom does it break?", "schemas"
    ),
    CommandSpec(
        "room.certificates",
        "everywhere",
        ("5",),
        "Certificates",
        "What is there, how long does it last?",
        "certificates",
    ),
    CommandSpec("room.next", "everywhere", ("tab",), "Next room", "Go to the next room."),
    CommandSpec("room.previous", "everywhere", ("shift+tab",), "Previous room", "Go to the room before."),
    CommandSpec(
        "app.command",
        "everywhere",
        ("colon",),
        "Command",
        "Type a command; tab completes, up and down recall.",
        footer=True,
    ),
    CommandSpec(
        "app.help",
        "everywhere",
        ("question_mark", "f1"),
        "Help",
        "What is on this screen, and every key alive here.",
        "help",
        footer=True,
    ),
    CommandSpec(
        "app.palette",
        "everywhere",
        ("ctrl+p", "f2"),
        "Palette",
        "Find a command by its words.",
        "palette",
        footer=True,
    ),
    CommandSpec(
        "app.refresh", "everywhere", ("ctrl+r",), "Refresh", "Read cluster, store and certificates now.", "refresh"
    ),
    CommandSpec(
        "app.rate",
        "everywhere",
        (),
        "Refresh rate",
        "Seconds between two looks at the engine: at least 0.5, or 0 to look only when asked.",
        "rate",
        "SECONDS",
    ),
    CommandSpec(
        "app.theme",
        "everywhere",
        ("f3",),
        "Theme",
        "Choose the colours; moving shows them, esc takes the old ones.",
        "theme",
        "NAME",
    ),
    CommandSpec(
        "app.settings", "everywhere", ("f4",), "Settings", "Settings in force, and where each came from.", "settings"
    ),
    CommandSpec("app.back", "everywhere", ("escape",), "Back", "Clear the filter, else go back one step."),
    CommandSpec(
        "app.suspend",
        "everywhere",
        ("ctrl+z",),
        "To the shell",
        "Suspend the program; refused while events are in flight, for a stopped program sends nothing.",
        "suspend",
    ),
    CommandSpec("app.quit", "everywhere", ("q", "ctrl+q"), "Quit", "Drain, then leave.", "quit", footer=True),
    CommandSpec("list.up", "list", ("up", "k"), "Up", "One row up."),
    CommandSpec("list.down", "list", ("down", "j"), "Down", "One row down."),
    CommandSpec("list.page-up", "list", ("pageup", "ctrl+b"), "Page up", "One screen up."),
    CommandSpec("list.page-down", "list", ("pagedown", "ctrl+f"), "Page down", "One screen down."),
    CommandSpec("list.top", "list", ("g", "home"), "First", "To the first row."),
    CommandSpec("list.bottom", "list", ("G", "end"), "Last", "To the last row."),
    CommandSpec("list.left", "list", ("left",), "Columns left", "Back towards the first columns."),
    CommandSpec("list.right", "list", ("right",), "Columns right", "Reveal the columns at the right."),
    CommandSpec("list.open", "list", ("enter",), "Open", "Open the row."),
    CommandSpec("list.mark", "list", ("space",), "Mark", "Mark the row, or unmark it, and go on to the next."),
    CommandSpec(
        "list.mark-all",
        "list",
        ("asterisk",),
        "Mark all",
        "Mark every row of the filter as it is now (rows that come later are not marked); again: unmark all.",
    ),
    CommandSpec(
        "overview.send",
        "overview",
        ("n",),
        "New event",
        "Fill in one event, look at it, send it.",
        "send",
        danger="sends",
        footer=True,
    ),
    CommandSpec(
        "overview.workload",
        "overview",
        ("w",),
        "Workload",
        "Feed a file of events (JSON Lines) through the producer, at a rate.",
        "workload",
        "FILE [RATE]",
        danger="sends",
        footer=True,
    ),
    CommandSpec(
        "overview.pause", "overview", ("p",), "Pause", "Pause the workload, or let it go on.", "pause", danger="changes"
    ),
    CommandSpec(
        "overview.stop",
        "overview",
        ("x",),
        "Stop workload",
        "Stop the workload; what is queued is sent.",
        "stop",
        danger="changes",
    ),
    CommandSpec(
        "overview.dead-letters", "overview", ("enter", "r"), "Dead letters", "Look at what waits.", footer=True
    ),
    CommandSpec(
        "groups.filter",
        "groups",
        ("slash",),
        "Filter",
        "Show only what matches: words, or field=value (state, class, topic, tenant…).",
        "filter",
        "QUERY",
        footer=True,
    ),
    CommandSpec("groups.sort", "groups", ("s",), "Sort", "Sort by the next column."),
    CommandSpec(
        "groups.export",
        "groups",
        ("e",),
        "Export",
        "Write the marked groups' records to a file.",
        "export",
        "FILE",
        footer=True,
    ),
    CommandSpec(
        "groups.all",
        "groups",
        ("a",),
        "All records",
        "Every record of the filter, in one list.",
        "records",
        footer=True,
    ),
    CommandSpec(
        "records.filter",
        "records",
        ("slash",),
        "Filter",
        "Show only what matches: words, or field=value (state, class, topic, tenant, key, code…).",
        word="filter",
        argument="QUERY",
        footer=True,
    ),
    CommandSpec("records.sort", "records", ("s",), "Sort", "Newest first, or oldest first."),
    CommandSpec(
        "records.export",
        "records",
        ("e",),
        "Export",
        "Write the marked records to a file.",
        word="export",
        argument="FILE",
        footer=True,
    ),
    CommandSpec("records.copy", "records", ("y",), "Copy id", "Copy the record's id to the terminal's clipboard."),
    CommandSpec("detail.next-tab", "detail", ("right",), "Next tab", "The tab at the right.", footer=True),
    CommandSpec("detail.previous-tab", "detail", ("left",), "Previous tab", "The tab at the left."),
    CommandSpec("detail.next", "detail", ("ctrl+n", "n"), "Next record", "The next record of the list.", footer=True),
    CommandSpec("detail.previous", "detail", ("ctrl+p", "p"), "Previous", "The record before.", footer=True),
    CommandSpec(
        "detail.copy", "detail", ("y",), "Copy", "Copy this tab to the terminal's clipboard (OSC 52).", footer=True
    ),
    CommandSpec(
        "detail.schema",
        "detail",
        ("s",),
        "Schema",
        "The schema that explains the payload, in its own room; esc comes back.",
    ),
    CommandSpec(
        "detail.edit",
        "detail",
        ("E",),
        "Edit",
        "Change the event in $VISUAL or $EDITOR: a new revision, where the profile allows it; the original stays.",
        "edit",
        "REASON",
        danger="changes",
    ),
    CommandSpec("detail.save", "detail", ("Y",), "Save", "Save this tab to a file, and say where.", footer=True),
    CommandSpec(
        "letters.plan",
        "letters",
        ("r",),
        "Plan a replay",
        "The dry run before any send: what would be sent, what not, and what forbids it.",
        "plan",
        danger="changes",
        footer=True,
    ),
    CommandSpec(
        "letters.release",
        "letters",
        ("l",),
        "Release",
        "Let a plan send them: the cause is gone.",
        "release",
        "REASON",
        danger="changes",
        footer=True,
    ),
    CommandSpec(
        "letters.discard",
        "letters",
        ("x",),
        "Discard",
        "Never send them; they stay until they are purged, and can be restored.",
        "discard",
        "REASON",
        danger="changes",
        footer=True,
    ),
    CommandSpec(
        "letters.quarantine",
        "letters",
        ("u",),
        "Set aside",
        "No plan sends them until they are released.",
        "quarantine",
        "REASON",
        danger="changes",
    ),
    CommandSpec(
        "letters.restore",
        "letters",
        ("U",),
        "Restore",
        "Undo a discard: back to the state before.",
        "restore",
        "REASON",
        danger="changes",
    ),
    CommandSpec(
        "letters.check",
        "letters",
        ("c",),
        "Check broker",
        "Look on the broker for every record whose outcome is unknown; nothing is sent.",
        "check",
        danger="changes",
    ),
    CommandSpec(
        "letters.ingest",
        "letters",
        ("i",),
        "Ingest",
        "Read dead letters that others left on topics into the store.",
        "ingest",
        "TOPIC…",
        danger="changes",
    ),
    CommandSpec("replay.runs", "replay", ("R",), "Runs", "The last replays, and how they ended.", "runs", footer=True),
    CommandSpec(
        "replay.pending",
        "replay",
        ("P",),
        "Pending",
        "Records that may have arrived or not: their outcome is unknown.",
        "pending",
        footer=True,
    ),
    CommandSpec(
        "plan.send",
        "plan",
        ("y",),
        "Send",
        "Send what the plan says, after its number was agreed to.",
        "replay",
        danger="sends",
        footer=True,
    ),
    CommandSpec(
        "plan.ten",
        "plan",
        ("t",),
        "First ten",
        "Plan only the first ten, to send them, look, and plan the rest.",
        danger="changes",
        footer=True,
    ),
    CommandSpec(
        "plan.held",
        "plan",
        ("s",),
        "Held back",
        "List what the plan holds back, each record with its reason.",
        footer=True,
    ),
    CommandSpec(
        "plan.rate",
        "plan",
        ("r",),
        "Rate",
        "Events a second; 0 = as fast as it goes.",
        "pace",
        "NUMBER",
        danger="changes",
        footer=True,
    ),
    CommandSpec(
        "plan.order",
        "plan",
        ("o",),
        "Order",
        "Strict by key, or by partition: faster, but later events of a failed key may have landed.",
        danger="changes",
        footer=True,
    ),
    CommandSpec(
        "plan.canary",
        "plan",
        ("c",),
        "Canary",
        "How many are sent first, alone; any failure among them stops the run.",
        "canary",
        "NUMBER",
        danger="changes",
        footer=True,
    ),
    CommandSpec(
        "plan.timestamps",
        "plan",
        ("T",),
        "Timestamps",
        "New ones, or the original ones, which the topic's retention may delete at once.",
        danger="changes",
    ),
    CommandSpec("plan.write", "plan", ("w",), "To a file", "Write the plan to a JSON file.", footer=True),
    CommandSpec(
        "plan.cancel",
        "plan",
        ("k",),
        "Drop",
        "Cancel the plan: nobody can run it any more.",
        danger="changes",
    ),
    CommandSpec(
        "run.pause",
        "run",
        ("p",),
        "Pause",
        "Send nothing more until it goes on; a run of another console is asked to.",
        danger="changes",
        footer=True,
    ),
    CommandSpec(
        "run.resume",
        "run",
        ("r",),
        "Go on",
        "Resume exactly there; what was in flight is looked for first.",
        "resume",
        danger="sends",
        footer=True,
    ),
    CommandSpec(
        "run.cancel",
        "run",
        ("k",),
        "Cancel",
        "End the run for good: what is sent stays sent, what is left stays ready.",
        "cancel",
        danger="changes",
        footer=True,
    ),
    CommandSpec(
        "run.rest",
        "run",
        ("a",),
        "Plan the rest",
        "After the first ten: plan the others.",
        danger="changes",
    ),
    CommandSpec(
        "run.take-over",
        "run",
        ("T",),
        "Take over",
        "Put a console aside that holds the run and has fallen silent; it is audited.",
        "take-over",
        danger="sends",
    ),
    CommandSpec("runs.look", "runs", ("o",), "Open", "Open the run, or the plan that was not run.", footer=True),
    CommandSpec(
        "certificates.verify",
        "certificates",
        ("v",),
        "Verify",
        "Name every fault of the certificate; with an address, of the peer there, too.",
        "verify",
        "[HOST:PORT [TRANSPORT]]",
        footer=True,
    ),
    CommandSpec(
        "certificates.renew",
        "certificates",
        ("r",),
        "Renew",
        "Issue successors with new keys; the old pairs stay valid.",
        "renew",
        danger="changes",
        footer=True,
    ),
    CommandSpec(
        "certificates.issue",
        "certificates",
        ("i",),
        "Issue",
        "Fill in a new certificate, look at it, issue it.",
        "issue",
        danger="changes",
        footer=True,
    ),
    CommandSpec(
        "certificates.rotate",
        "certificates",
        ("R",),
        "Rotate CA",
        "Replace the CA in three steps; each says what it will do before it does it.",
        "rotate-ca",
        danger="changes",
        footer=True,
    ),
    CommandSpec(
        "certificates.export",
        "certificates",
        ("e",),
        "Export",
        "PEM or PKCS#12 files, or ready configuration for those who use it.",
        footer=True,
    ),
    CommandSpec(
        "certificates.filter",
        "certificates",
        ("slash",),
        "Filter",
        "Show only what holds these words: name, profile, state, names.",
        word="filter",
        argument="WORDS",
    ),
    CommandSpec("certificates.sort", "certificates", ("s",), "Sort", "Sort by the next column."),
    CommandSpec("certificates.copy", "certificates", ("y",), "Copy name", "Copy the name to the terminal's clipboard."),
    CommandSpec(
        "certificate.copy", "certificate", ("y",), "Copy", "Copy this page to the terminal's clipboard.", footer=True
    ),
    CommandSpec(
        "certificate.save", "certificate", ("Y",), "Save", "Save this page to a file, and say where.", footer=True
    ),
    CommandSpec(
        "flight.discard",
        "flight",
        ("d",),
        "Measure",
        "Fetch every row of the plan and drop it: what is measured is the transport.",
        "measure",
        footer=True,
    ),
    CommandSpec(
        "flight.file",
        "flight",
        ("w",),
        "To a file",
        "Fetch the plan into a new .parquet or .arrow file; it appears when it is whole.",
        "fetch",
        "FILE",
        footer=True,
    ),
    CommandSpec("flight.cancel", "flight", ("x",), "Cancel", "Cancel what is being fetched.", "cancel", footer=True),
    CommandSpec(
        "flight.server",
        "flight",
        ("c",),
        "Server",
        "Go to another server: HOST:PORT, grpc://… or grpc+tls://…; settings give the certificates.",
        "server",
        "URI",
        footer=True,
    ),
    CommandSpec(
        "flight.plan",
        "flight",
        ("o",),
        "Plan by hand",
        "Name a plan that is not in the list.",
        "plan",
        "NAME",
        footer=True,
    ),
    CommandSpec("flight.schema", "flight", ("s",), "Schema", "Open the plan's schema in its own room.", footer=True),
    CommandSpec("flight.ping", "flight", ("p",), "Ping", "Call the server, and show how long it takes.", "ping"),
    CommandSpec(
        "flight.bench",
        "flight",
        ("b",),
        "Bench",
        "Measure a raw socket of this host, then fetch the plan and drop it: the share is shown.",
        "bench",
    ),
    CommandSpec(
        "flight.differences",
        "flight",
        ("m",),
        "Differences",
        "How the stream's schema differs from what GetSchema promised.",
    ),
    CommandSpec(
        "flight.accept", "flight", ("a",), "Go on", "Take the stream's own schema though it is not the promised one."
    ),
    CommandSpec(
        "flight.filter",
        "flight",
        ("slash",),
        "Filter",
        "Show only plans that hold these words.",
        "filter",
        "WORDS",
    ),
    CommandSpec(
        "flight.copy", "flight", ("y",), "Copy", "Copy the plan's name, or the page, to the terminal's clipboard."
    ),
    CommandSpec(
        "schemas.search",
        "schemas",
        ("slash",),
        "Search",
        "In the list: names. In a tree: names, types and comments, with their paths.",
        "filter",
        "WORDS",
        footer=True,
    ),
    CommandSpec(
        "schemas.diff",
        "schemas",
        ("d",),
        "Diff",
        "What changes from another schema to this one, and whom it breaks.",
        "diff",
        "NAME|FILE",
        footer=True,
    ),
    CommandSpec("schemas.swap", "schemas", ("r",), "Swap", "Compare in the other direction."),
    CommandSpec(
        "schemas.mapping",
        "schemas",
        ("m",),
        "Mapping",
        "Events field by field beside the Arrow schema: the same, to be converted, different, missing.",
        "mapping",
        footer=True,
    ),
    CommandSpec(
        "schemas.topics",
        "schemas",
        ("t",),
        "Topics",
        "Look at the newest records of each topic: which schema explains them, and which drift.",
        "topics",
        footer=True,
    ),
    CommandSpec(
        "schemas.open",
        "schemas",
        ("o",),
        "Open file",
        "Put a .fbs, .bfbs, Arrow or Parquet file into the list.",
        "open",
        "FILE",
        footer=True,
    ),
    CommandSpec("schemas.copy", "schemas", ("y",), "Copy", "Copy what is shown to the terminal's clipboard (OSC 52)."),
)

SHADOWED = frozenset(
    {
        ("detail.previous", "ctrl+p"),
        ("plan.cancel", "k"),
        ("run.cancel", "k"),
        ("detail.next-tab", "right"),
        ("detail.previous-tab", "left"),
        ("certificate.copy", "y"),
    }
)
"""Keys that a narrower scope takes from a wider one on purpose."""

BY_ID: dict[str, CommandSpec] = {spec.id: spec for spec in COMMANDS}

_SHOWN = {
    "colon": ":", "question_mark": "?", "slash": "/", "asterisk": "*", "escape": "esc", "pageup": "pgup",
    "pagedown": "pgdn",
}  # fmt: skip
_NAMES = {shown: name for name, shown in _SHOWN.items()}


def bindings(*scopes: Scope) -> list[BindingType]:
    """Textual's bindings of these scopes, the narrowest first, each with an id for keymaps."""
    taken = {key for command, key in SHADOWED if BY_ID[command].scope in scopes[:1]}
    made: list[BindingType] = []
    for spec in in_scopes(scopes):
        keys = [key for key in spec.keys if spec.scope == scopes[0] or key not in taken]
        if keys:
            made.append(Binding(",".join(keys), f"app.command('{spec.id}')", spec.title, id=spec.id, tooltip=spec.help))
    return made


def shown_key(key: str) -> str:
    """A key as it is printed: `?`, `esc`, `ctrl+p`."""
    return _SHOWN.get(key, key)


def key_name(shown: str) -> str:
    """A key as Textual names it, from either spelling."""
    return _NAMES.get(shown, shown)


def keys_of(spec: CommandSpec, keymap: Mapping[str, str]) -> tuple[str, ...]:
    """The keys of a command under a user's keymap."""
    own = keymap.get(spec.id)
    return tuple(own.split(",")) if own else spec.keys


def in_scopes(scopes: Iterable[Scope]) -> list[CommandSpec]:
    """The commands of these scopes, the narrowest first, in the table's order."""
    order = list(dict.fromkeys(scopes))
    return sorted((spec for spec in COMMANDS if spec.scope in order), key=lambda spec: order.index(spec.scope))


def clashes(keymap: Mapping[str, str]) -> list[str]:
    """Sentences about keys that would mean two things at the same time, or reach nothing."""
    problems = []
    for number, spec in enumerate(COMMANDS):
        for other in COMMANDS[number + 1 :]:
            if spec.scope not in TOGETHER[other.scope] and other.scope not in TOGETHER[spec.scope]:
                continue
            for key in sorted(set(keys_of(spec, keymap)) & set(keys_of(other, keymap))):
                if (spec.id, key) in SHADOWED or (other.id, key) in SHADOWED:
                    continue
                problems.append(f"{shown_key(key)} would mean both {spec.id} and {other.id}")
    return problems
