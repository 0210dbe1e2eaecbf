"""Sources to manifest, folds, pixel cache, augmentation and batches."""
