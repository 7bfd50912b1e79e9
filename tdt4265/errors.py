"""What all errors of the course have in common that are told in one line, and how they quote what they name."""

import reprlib
from pathlib import Path


class OneLineError(ValueError):
    """Something that cannot be used or done: one line that names it and the mend, in a notebook without traceback."""

    def __init__(self, message: str = ""):
        if message.startswith(f"Caught {type(self).__name__} in "):
            # A DataLoader raises the error of a worker anew, with its whole traceback as the message.
            message = message.rstrip().rpartition(f"{type(self).__name__}: ")[2]
        super().__init__(message)

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback."""
        return [f"{type(self).__name__}: {self}"]


QUOTE = reprlib.Repr()
QUOTE.maxstring = QUOTE.maxlong = QUOTE.maxother = 60


def quoted(value: object) -> str:
    """A value of a file as a message shows it: on one line, without control characters, of 60 characters at most."""
    text = QUOTE.repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def plain(value: object) -> str:
    """The same of a name, without quotation marks."""
    return quoted(value)[1:-1] if isinstance(value, str) else quoted(value)


def shown(path: Path) -> str:
    """A path as a message shows it: its end alone where it is very long."""
    text = str(path)
    return text if len(text) <= 140 else f"...{text[-137:]}"
