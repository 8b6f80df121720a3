"""Readers of the formats that surfaces and points come in; `finer_sdf.formats` says which file is whose."""
