"""From a dataset to batches: the stream of samples and the views made of them."""
