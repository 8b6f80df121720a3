"""Judging: how far two surfaces are apart, in every measure the field uses, each named for what it is."""
