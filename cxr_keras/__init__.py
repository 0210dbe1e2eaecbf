"""Chest X-ray classification with Keras: train, cross-validate and score, with folds that no patient crosses."""
