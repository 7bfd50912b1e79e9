"""What a training run leaves to be compared (`record`), and runs beside each other (`comparison`)."""

from tdt4265.records.comparison import (
    TABLE_MARKS,
    TRANSFER_MARKS,
    Difference,
    compare,
    difference,
    markdown,
    renew_table,
    scores,
    table,
    transfer_markdown,
)
from tdt4265.records.record import (
    ENVIRONMENT,
    PROTOCOLS,
    Protocol,
    Record,
    RecordError,
    all_records,
    changed_part,
    environment,
    read,
    recorded,
)

__all__ = [
    "ENVIRONMENT",
    "PROTOCOLS",
    "TABLE_MARKS",
    "TRANSFER_MARKS",
    "Difference",
    "Protocol",
    "Record",
    "RecordError",
    "all_records",
    "changed_part",
    "compare",
    "difference",
    "environment",
    "markdown",
    "read",
    "recorded",
    "renew_table",
    "scores",
    "table",
    "transfer_markdown",
]
