"""The tour `vidwatch demo`: the real daemon and commands, on clips that are drawn."""
