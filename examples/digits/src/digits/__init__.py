"""Classifies 8x8 pictures of handwritten digits."""
