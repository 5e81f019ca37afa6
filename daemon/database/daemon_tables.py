"""The table of the daemons that share a database on a server. A home with a file has no row."""

from sqlalchemy import JSON, Boolean, Column, Float, Integer, Table, Text

from daemon.database.columns import Utc, metadata

# A daemon removes its row when it ends; that of one that was killed stays for a day.
daemons = Table(
    "daemons",
    metadata,
    # What the daemon calls its machine.
    Column("machine", Text, primary_key=True),
    Column("pid", Integer, nullable=False),
    # Of vidwatch.
    Column("version", Text, nullable=False),
    # The model that it predicts with, and on which device. NULL while it starts.
    Column("model", Text),
    Column("device", Text),
    Column("since", Utc, nullable=False),
    # Its last sign of life.
    Column("seen_at", Utc, nullable=False),
    # How many clips it has finished since it began, and a minute lately.
    Column("clips", Integer, nullable=False),
    Column("clips_a_minute", Float, nullable=False),
    # Whether it is the one that watches the inbox, files, trains and cleans.
    Column("leads", Boolean, nullable=False),
    # What it shows to people, by subject.
    Column("notices", JSON, nullable=False),
)
