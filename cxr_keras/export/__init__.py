"""Trained runs as files that serve without this package, and what is predicted from them."""
