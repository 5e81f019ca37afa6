"""Video in, logits out, and learning from labels: a library that knows no daemon and no database."""
