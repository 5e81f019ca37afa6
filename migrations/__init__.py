"""Alembic environment and versions, run by the program itself."""
