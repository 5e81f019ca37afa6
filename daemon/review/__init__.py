"""The review page: clips that a person should look at, in a browser on this machine. Loads nothing heavy at first."""
