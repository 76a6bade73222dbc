"""The repository speaks of the project alone, and its pages lead somewhere."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
_NOT_OURS = re.compile(
    r"(?<![\w.])/(?:work|root)/|pypi\.org|pythonhosted|repo1\.maven|repo\.maven|registry\.npmjs|proxy\.golang|crates\.io",
)


def _tracked() -> list[Path]:
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [ROOT / name.decode() for name in listed.split(b"\0") if name]


def test_no_file_names_a_machine_or_a_package_registry() -> None:
    found = []
    for path in _tracked():
        if path == Path(__file__) or not path.is_file():
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in _NOT_OURS.finditer(text)]
    assert found == []


def test_every_link_of_every_page_leads_to_a_file() -> None:
    pages = [path for path in _tracked() if path.suffix == ".md"]
    links = [(page, target) for page in pages for target in _LINK.findall(page.read_text(encoding="utf-8"))]
    local = [(page, target) for page, target in links if "://" not in target]
    assert local
    assert [f"{page.name}: {target}" for page, target in local if not (page.parent / target).exists()] == []


def test_no_key_is_in_the_repository() -> None:
    keys = [path for path in _tracked() if path.is_file() and b"PRIVATE KEY-----\n" in path.read_bytes()]
    assert [path for path in keys if path.suffix != ".py"] == []


def test_the_locks_hash_everything_and_name_no_index() -> None:
    for lock in (ROOT / "requirements").glob("*.txt"):
        text = lock.read_text(encoding="utf-8")
        pinned = re.findall(r"^[A-Za-z0-9_.\[\]-]+==\S+", text, re.MULTILINE)
        assert pinned
        assert text.count("--hash=sha256:") >= len(pinned)
        assert "://" not in text
        assert "--index-url" not in text
