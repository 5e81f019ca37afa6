"""The table of what people keep on the page."""

from sqlalchemy import Column, Table, Text, UniqueConstraint

from daemon.database.columns import Id, Utc, metadata

# Searches that everybody who uses the page sees.
searches = Table(
    "searches",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", Text, nullable=False),
    # The fields of the search, as in the address of the page.
    Column("query", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("created_at", Utc, nullable=False),
    UniqueConstraint("name"),
)
