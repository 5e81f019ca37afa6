"""Labels that were given elsewhere: tables, lists and folders, with the files that they name."""
