"""The container image: a Bento, its packages and how both are built."""
