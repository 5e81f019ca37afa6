"""The `vidwatch` command, a file for each family of commands."""
