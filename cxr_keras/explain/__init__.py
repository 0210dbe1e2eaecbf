"""What a network looks at: maps over the image, checks of these maps, and embeddings."""
