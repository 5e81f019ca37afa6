"""Several daemons on one server and one share: each clip once, whatever happens to one of them."""

import pytest
from machines import Share
from machines import share as share
from ordeal import tiny_model as tiny_model

pytestmark = pytest.mark.slow


def test_of_two_daemons_one_is_killed_and_each_clip_is_classified_once(share: Share) -> None:
    for number in range(200):
        share.drop(number, f"inbox/{number}.avi")
    one, two = share.machine("one"), share.machine("two")
    one.start()
    two.start()
    share.wait_for(lambda: len(share.members()) == 2 and share.leader())
    share.wait_for(lambda: share.n_filed() > 40)
    by = share.query("SELECT DISTINCT claimed_by FROM videos WHERE claimed_by IS NOT NULL")
    print("claimed by", by, "leads", share.leader())
    (one if share.leader() == "two" else two).kill()
    took = share.wait_for(share.is_done)
    print(f"all done {took:.0f} s after the other was killed")
    share.require_each_once()
