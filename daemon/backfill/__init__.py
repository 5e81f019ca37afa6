"""Classifies archives where they lie, at once: on this machine, or on the machines of a cluster."""
