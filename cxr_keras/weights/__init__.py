"""Finding and checking pretrained weights."""
