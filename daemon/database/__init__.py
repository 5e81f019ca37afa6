"""The schema, the connection, the queue of videos and every change of a video's state."""
