"""Claim, decode, predict, record: a batch of videos and the model that predicts."""
