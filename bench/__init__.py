"""How fast, how large, how many: sallyport beside its peers on the same bytes, in one run: ``python -m bench``."""
