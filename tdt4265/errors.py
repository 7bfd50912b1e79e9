"""What all errors of the course have in common that are told in one line."""


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
