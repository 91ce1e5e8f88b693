"""Pictures to train and validate on: pairs on disk, rain and haze drawn by code, and the mixture of them."""
