"""The review page: shows clips to a person, in a browser on this machine, and takes their labels.

Importing it loads nothing heavy.
"""
