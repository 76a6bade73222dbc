"""`python -m atom_console` is `atom-console`."""

from atom_console.cli.main import run

if __name__ == "__main__":
    run()
