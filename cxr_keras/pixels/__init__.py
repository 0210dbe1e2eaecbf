"""Bytes to grey pixels: the one place where an image is decoded and resized."""
