"""What a trained encoder or tokenizer is worth: features, k-NN, linear probe, fine-tuning, segmentation,
codebook health, and pictures. Plain functions of networks and tensors.
"""
