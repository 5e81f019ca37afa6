"""The folder watcher: files in, rows and filed files out."""
