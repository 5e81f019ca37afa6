"""How many clips are predicted at once: as many as take about a second on this device. Pure."""

# Seconds that a batch may take. So long can its first clip wait for its last one, and so long can
# a stop of the daemon wait for the batch.
LONGEST = 1.0
FIRST = 4  # clips


class BatchSize:
    """The size of the next batch, between one clip and `most`; it follows how long batches take."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.now = min(FIRST, most)

    def took(self, clips: int, seconds: float) -> None:
        """Note that a batch of so many clips took so long.

        A batch that was not full does not show how long a larger one would take.
        """
        if seconds > LONGEST:
            self.now = max(1, self.now // 2)
        elif clips == self.now and 2 * seconds <= LONGEST:
            self.now = min(2 * self.now, self.most)
