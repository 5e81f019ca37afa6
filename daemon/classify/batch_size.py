"""How many clips are classified at once: as many as take about a second on this device. Pure."""

LONGEST = 1.0  # seconds that a batch may take: so long its first clip waits for its last one, and a stop for its end
FIRST = 4


class BatchSize:
    """Found from how long batches take, between one clip and `most`."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.now = min(FIRST, most)

    def took(self, clips: int, seconds: float) -> None:
        """So many clips were classified in this time; a batch that was not full tells nothing of a larger one."""
        if seconds > LONGEST:
            self.now = max(1, self.now // 2)
        elif clips == self.now and 2 * seconds <= LONGEST:
            self.now = min(2 * self.now, self.most)
