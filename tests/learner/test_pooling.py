import torch

from learner.pooling import ORDER_FREE, Statistics


def test_statistics_by_hand() -> None:
    features = torch.tensor([[[0.0, 10], [2, 20], [4, 60]]])
    found = Statistics(1, 1).of_clips(features)
    mean, deviation, change, motion = found[0].tolist()
    assert (mean, change, motion) == (2, 2, 30)
    assert deviation == torch.tensor(4 / 3)


def test_each_statistic_is_the_mean_of_its_steps() -> None:
    features = torch.randn(3, 7, 9, generator=torch.Generator().manual_seed(0))
    statistics = Statistics(6, 3)
    steps = statistics.of_steps(features)
    assert steps.shape == (3, 7, statistics.width)
    torch.testing.assert_close(steps.mean(1), statistics.of_clips(features))


def test_order_free_statistics_do_not_know_the_order() -> None:
    features = torch.randn(2, 8, 5, generator=torch.Generator().manual_seed(0))
    shuffled = features[:, torch.randperm(8, generator=torch.Generator().manual_seed(1))]
    free = Statistics(5, blocks=ORDER_FREE)
    torch.testing.assert_close(free.of_clips(features), free.of_clips(shuffled))
    whole = Statistics(5)
    assert not torch.allclose(whole.of_clips(features), whole.of_clips(shuffled))


def test_appearance_played_backwards_has_the_same_statistics() -> None:
    features = torch.randn(2, 8, 5, generator=torch.Generator().manual_seed(0))
    statistics = Statistics(5)
    torch.testing.assert_close(statistics.of_clips(features), statistics.of_clips(features.flip(1)))


def test_a_clip_of_one_step_changes_by_nothing() -> None:
    assert Statistics(2).of_clips(torch.tensor([[[1.0, 2.0]]])).tolist() == [[1, 2, 0, 0, 0, 0]]


def test_blocks_follow_one_another() -> None:
    slices = Statistics(4, 3).slices
    assert [(part.start, part.stop) for part in slices.values()] == [
        (0, 4),
        (4, 8),
        (8, 12),
        (12, 15),
    ]
